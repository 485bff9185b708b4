//! `issuer audit check` as an operator runs it.

use std::process::{Command, Output};

use super::world::{World, carry, cut};

fn issuer(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_issuer")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_check_names_the_head_or_the_first_broken_link() {
    let world = World::new();
    let mut audit = world.open().await.unwrap().audit;
    world.note(0..5).await;
    carry(&mut audit).await;
    let head = audit.head();
    let folder = world.path();
    let folder = folder.to_str().unwrap();
    // Beside the process that has it open.
    let good = issuer(&["audit", "check", "--folder", folder]);
    assert!(good.status.success(), "{}", text(&good.stderr));
    let verdict = format!("audit: 6 entries, chain unbroken, head n=6 hash={}\n", head.hash);
    assert_eq!(text(&good.stdout), verdict);
    let published = format!("{}:{}", head.n, head.hash);
    assert!(issuer(&["audit", "check", "--folder", folder, "--head", &published]).status.success());
    drop(audit);

    let log = world.path().join("issuer.log");
    let human =
        format!("2026-11-24T10:00:00Z  INFO issuer: audit head n={} hash={}\nanother line\n", head.n, head.hash);
    let json =
        format!("{{\"level\":\"INFO\",\"message\":\"audit head\",\"n\":{},\"hash\":\"{}\"}}\n", head.n, head.hash);
    for line in [human, json] {
        std::fs::write(&log, line).unwrap();
        let arguments = ["audit", "check", "--folder", folder, "--log", log.to_str().unwrap()];
        assert!(issuer(&arguments).status.success());
        let whole = std::fs::read(world.newest()).unwrap();
        cut(&world.newest(), 5);
        let shorter = issuer(&arguments);
        assert_eq!(shorter.status.code(), Some(1));
        assert!(text(&shorter.stderr).contains("jsonl:5: the trail ends with n=5, shorter than"), "{shorter:?}");
        std::fs::write(world.newest(), whole).unwrap();
    }

    std::fs::write(&log, "2026-11-24T10:00:00Z  WARN issuer: another line\n").unwrap();
    let headless = issuer(&["audit", "check", "--folder", folder, "--log", log.to_str().unwrap()]);
    assert_eq!(headless.status.code(), Some(1), "nothing was compared");
    assert!(text(&headless.stderr).ends_with("issuer.log: names no audit head\n"), "{headless:?}");

    let mut bytes = std::fs::read(world.newest()).unwrap();
    let third = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).unwrap().0 + 20;
    bytes[third] ^= 1;
    std::fs::write(world.newest(), bytes).unwrap();
    let broken = issuer(&["audit", "check", "--folder", folder]);
    assert_eq!(broken.status.code(), Some(1));
    let expected = format!("{}:3: the hash differs from the line's content\n", world.newest().display());
    assert_eq!(text(&broken.stderr), format!("issuer audit: {expected}"));

    for wrong in [&["audit"][..], &["audit", "check"], &["audit", "check", "--folder", folder, "--head", "7:abc"]] {
        assert_eq!(issuer(wrong).status.code(), Some(64), "{wrong:?}");
    }
    let nothing = issuer(&["audit", "check", "--folder", "/nowhere"]);
    assert_eq!(nothing.status.code(), Some(1));
}
