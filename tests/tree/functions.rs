//! How long a function may grow, measured on the parsed source.

use anyhow::{Context as _, Result};
use syn::{ImplItemFn, ItemFn, TraitItemFn, spanned::Spanned, visit::Visit};

use super::rust_files;

/// Above this a function does more than one thing.
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn functions_do_one_thing() -> Result<()> {
    let mut long = Vec::new();
    for file in rust_files()? {
        let syntax = syn::parse_file(&file.text).with_context(|| file.path.display().to_string())?;
        let mut lengths = Lengths::default();
        lengths.visit_file(&syntax);
        long.extend(
            lengths
                .0
                .into_iter()
                .filter(|(_, lines)| *lines > FUNCTION_LINES_MAX)
                .map(|(name, lines)| format!("{}: {name} has {lines} lines", file.path.display())),
        );
    }
    assert!(long.is_empty(), "over {FUNCTION_LINES_MAX} lines:\n{}", long.join("\n"));
    Ok(())
}

/// Every function's name with its length in lines.
#[derive(Default)]
struct Lengths(Vec<(String, usize)>);

impl Lengths {
    fn note(&mut self, name: &syn::Ident, body: proc_macro2::Span) {
        self.0.push((name.to_string(), body.end().line - body.start().line + 1));
    }
}

impl<'ast> Visit<'ast> for Lengths {
    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.note(&item.sig.ident, item.block.span());
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.note(&item.sig.ident, item.block.span());
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast TraitItemFn) {
        if let Some(block) = &item.default {
            self.note(&item.sig.ident, block.span());
        }
        syn::visit::visit_trait_item_fn(self, item);
    }
}
