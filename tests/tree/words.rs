//! Words that stand for work left undone, and tests that guess how long something takes.

use anyhow::Result;

use super::rust_files;

#[test]
fn nothing_is_left_undone() -> Result<()> {
    // Written in two parts, so that this file does not find itself.
    let words = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("FIX", "ME"),
        concat!("TO", "DO:"),
        concat!("#[ig", "nore"),
    ];
    let mut found = Vec::new();
    for file in rust_files()? {
        for (number, line) in file.text.lines().enumerate() {
            found.extend(
                words
                    .iter()
                    .filter(|word| line.contains(**word))
                    .map(|word| format!("{}:{}: {word}", file.path.display(), number + 1)),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

#[test]
fn tests_wait_on_conditions_and_never_on_the_clock() -> Result<()> {
    let sleep = concat!("thread::sl", "eep(");
    let mut found = Vec::new();
    for file in rust_files()?.into_iter().filter(super::RustFile::is_test) {
        for (number, line) in file.text.lines().enumerate() {
            if line.contains(sleep) {
                found.push(format!("{}:{}", file.path.display(), number + 1));
            }
        }
    }
    assert!(found.is_empty(), "wait on a condition with a deadline instead:\n{}", found.join("\n"));
    Ok(())
}
