//! One TOML file per role, read once at start, refused whole if any of it is wrong.
//!
//! A role's configuration is a struct with `#[serde(deny_unknown_fields)]` that implements
//! [`Config`]. Errors name the file, the line, the field and what to do, because whoever reads them
//! is starting a server and has no code at hand. Paths in the file are relative to the file's own
//! folder, so that a folder with a configuration and its keys can be moved as one.

mod environment;
mod parts;
mod period;

pub use environment::{Environment, ProcessEnvironment};
pub use parts::{
    ListenConfig, LogFormat, MembershipConfig, PageListenConfig, PageTls, StoreConfig, TelemetryConfig, TlsFiles,
};
pub use period::{Period, PeriodError};

use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};

/// A configuration that can be loaded from a file.
pub trait Config: DeserializeOwned + Send + 'static {
    /// Every field that parses but can't be used. Called before any port is bound.
    fn validate(&self) -> Vec<FieldError>;

    /// Makes every relative path absolute by [`resolve`], `folder` being the configuration file's.
    fn resolve_paths(&mut self, folder: &Path);
}

/// One field that can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field's path as it stands in the file, for example `listen.mesh.address`.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl FieldError {
    /// A field and what is wrong with it.
    #[must_use]
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same error seen from the struct that holds this one in the field `parent`.
    #[must_use]
    pub fn under(self, parent: &str) -> Self {
        Self { field: format!("{parent}.{}", self.field), problem: self.problem }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field `{}`: {}", self.field, self.problem)
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read.
    #[error(
        "configuration {}: cannot be read ({source}); check the path given with --config and the file's permissions",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file isn't TOML, or a field is unknown, missing or of the wrong type.
    #[error("configuration {}, line {line}, field `{field}`: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The field's path, as far as it is known; `(top level)` for the file itself.
        field: String,
        /// What the parser said.
        problem: String,
    },
    /// The file parses and its values can't be used.
    #[error("configuration {}: {}", path.display(), list(fields))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Every wrong field.
        fields: Vec<FieldError>,
    },
}

/// Reads, parses, resolves and validates a configuration.
///
/// # Errors
/// [`Error`], which names the file and, from `Syntax` on, the field.
pub fn load<C: Config>(path: &Path) -> Result<C, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    parse(&text, path, folder)
}

/// As [`load`], for a text already in memory; `path` only stands in the errors.
///
/// # Errors
/// As [`load`], without `Unreadable`.
pub fn parse<C: Config>(text: &str, path: &Path, folder: &Path) -> Result<C, Error> {
    let mut config: C = toml::from_str(text).map_err(|error| syntax(text, path, &error))?;
    config.resolve_paths(folder);
    let fields = config.validate();
    if fields.is_empty() { Ok(config) } else { Err(Error::Invalid { path: path.to_owned(), fields }) }
}

/// Makes `path` relative to `folder` unless it is absolute already.
pub fn resolve(path: &mut PathBuf, folder: &Path) {
    if path.is_relative() {
        *path = folder.join(&*path);
    }
}

fn list(fields: &[FieldError]) -> String {
    let lines: Vec<String> = fields.iter().map(ToString::to_string).collect();
    lines.join("; ")
}

fn syntax(text: &str, path: &Path, error: &toml::de::Error) -> Error {
    let offset = error.span().map_or(0, |span| span.start.min(text.len()));
    let (line, field) = locate(text, offset);
    Error::Syntax {
        path: path.to_owned(),
        line,
        field: field.unwrap_or_else(|| "(top level)".to_owned()),
        problem: error.message().trim().replace('\n', ", "),
    }
}

/// The line at an offset, and the field there: the last table header before it and the key that
/// stands before the `=` of its line. The parser's error knows the place and not the field's name.
fn locate(text: &str, offset: usize) -> (usize, Option<String>) {
    let mut table = None;
    let mut start = 0;
    let mut number = 0;
    for line in text.split_inclusive('\n') {
        number += 1;
        let trimmed = line.trim();
        if let Some(header) = trimmed.strip_prefix('[') {
            let name = header.trim_start_matches('[');
            table = name.split(']').next().map(|name| name.trim().to_owned());
        }
        let is_here = offset < start + line.len();
        start += line.len();
        if is_here {
            let key = trimmed.split_once('=').map(|(key, _)| key.trim().to_owned());
            let field = match (table, key) {
                (Some(table), Some(key)) => Some(format!("{table}.{key}")),
                (table, key) => key.or(table),
            };
            return (number, field);
        }
    }
    (number.max(1), table)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        attempts: u32,
        wait: Period,
        listen: ListenConfig,
        tls: TlsFiles,
    }

    impl Config for Sample {
        fn validate(&self) -> Vec<FieldError> {
            if self.attempts == 0 {
                return vec![FieldError::new("attempts", "must be at least 1")];
            }
            Vec::new()
        }

        fn resolve_paths(&mut self, folder: &Path) {
            self.tls.resolve_paths(folder);
        }
    }

    const GOOD: &str = r#"
attempts = 5
wait = "500ms"
[listen]
address = "127.0.0.1:0"
[tls]
certificate = "own.pem"
key = "/run/keys/own.key"
authority = "ca.pem"
"#;

    fn read(text: &str) -> Result<Sample, Error> {
        parse(text, Path::new("sample.toml"), Path::new("/etc/bankside"))
    }

    #[test]
    fn a_good_file_loads_with_paths_relative_to_its_folder() {
        let sample = read(GOOD).unwrap();
        assert_eq!(sample.wait.get().as_millis(), 500);
        assert_eq!(sample.tls.certificate, Path::new("/etc/bankside/own.pem"));
        assert_eq!(sample.tls.key, Path::new("/run/keys/own.key"));
        assert_eq!(sample.tls.revocations, None);
        assert_eq!(sample.listen.address.port(), 0);
    }

    #[test]
    fn an_error_names_file_line_and_field() {
        let cases = [
            ("address = \"127", "adress = \"127", 5, "listen.adress"),
            ("\"500ms\"", "\"5 parsecs\"", 3, "wait"),
            ("attempts = 5", "attempts = \"five\"", 2, "attempts"),
            ("[listen]", "[listen", 4, "listen"),
            ("key = ", "# key = ", 6, "tls"),
        ];
        for (from, to, line, field) in cases {
            match read(&GOOD.replace(from, to)).unwrap_err() {
                Error::Syntax { line: found_line, field: found_field, .. } => {
                    assert_eq!((found_line, found_field.as_str()), (line, field))
                }
                other @ (Error::Unreadable { .. } | Error::Invalid { .. }) => {
                    panic!("{to}: {other}")
                }
            }
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_is_refused_by_name() {
        let error = read(&GOOD.replace("= 5", "= 0")).unwrap_err();
        assert_eq!(error.to_string(), "configuration sample.toml: field `attempts`: must be at least 1");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Sample>(Path::new("/nonexistent/role.toml")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/role.toml"));
    }
}
