//! The process environment, behind a trait so that no test changes the one it runs in.

use std::collections::BTreeMap;

/// Where environment variables are read.
pub trait Environment {
    /// The variable's value, where it is set and is UTF-8.
    fn variable(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Environment for BTreeMap<String, String> {
    fn variable(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }
}
