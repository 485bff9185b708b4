//! The rules of the tree that no compiler checks: who may depend on whom, what stays pure, how large
//! a file and a function may grow, and which words a test may not use.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

#[path = "tree/dependencies.rs"]
mod dependencies;
#[path = "tree/functions.rs"]
mod functions;
#[path = "tree/words.rs"]
mod words;

/// Above this a file is read in more than one sitting.
const FILE_LINES_MAX: usize = 400;

#[test]
fn files_stay_small_enough_to_read_in_one_sitting() -> Result<()> {
    let mut large = Vec::new();
    for file in rust_files()? {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            large.push(format!("{}: {lines} lines", file.path.display()));
        }
    }
    assert!(large.is_empty(), "over {FILE_LINES_MAX} lines; split by topic:\n{}", large.join("\n"));
    Ok(())
}

#[test]
fn modules_are_files_beside_their_folder_and_named_for_what_they_hold() -> Result<()> {
    let vague = ["mod", "utils", "util", "common", "helpers", "helper", "misc"];
    let wrong: Vec<_> = rust_files()?
        .into_iter()
        .filter(|file| file.path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| vague.contains(&stem)))
        .map(|file| file.path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "name these for what they hold (`foo.rs` beside `foo/`):\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_roles_main_only_starts_it() -> Result<()> {
    let long: Vec<_> = rust_files()?
        .into_iter()
        .filter(|file| {
            file.path.ends_with("src/main.rs")
                && !file.path.starts_with("merchant-sim")
                && !file.path.starts_with("certs")
        })
        .filter(|file| file.text.lines().count() >= 40)
        .map(|file| file.path.display().to_string())
        .collect();
    assert!(long.is_empty(), "a role's main.rs stays below 40 lines:\n{}", long.join("\n"));
    Ok(())
}

/// A Rust file of the tree, by its path from the workspace's folder.
struct RustFile {
    path: PathBuf,
    text: String,
}

impl RustFile {
    /// Whether the whole file is test code.
    fn is_test(&self) -> bool {
        let path = self.path.to_string_lossy();
        path.starts_with("tests/")
            || path.contains("/tests/")
            || path.ends_with("/tests.rs")
            || path.ends_with("_tests.rs")
    }
}

fn rust_files() -> Result<Vec<RustFile>> {
    let root = workspace();
    let mut files = Vec::new();
    for member in members()? {
        collect(&root, &root.join(member), &mut files)?;
    }
    // A member may lie in another one's folder.
    files.sort_by(|one, other| one.path.cmp(&other.path));
    files.dedup_by(|one, other| one.path == other.path);
    assert!(files.len() > 20, "the tree was not found at {}", root.display());
    Ok(files)
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<RustFile>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(root, &path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(RustFile { text: fs::read_to_string(&path)?, path: path.strip_prefix(root)?.to_owned() });
        }
    }
    Ok(())
}

/// The workspace's members, as its manifest lists them.
fn members() -> Result<Vec<String>> {
    let manifest: toml::Table = fs::read_to_string(workspace().join("Cargo.toml"))?.parse()?;
    let members = manifest["workspace"]["members"].as_array().context("workspace.members")?;
    Ok(members.iter().filter_map(|member| member.as_str().map(str::to_owned)).collect())
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}
