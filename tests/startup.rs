//! What a role does with a bad configuration, a bad file or a bad folder: it doesn't start, exits with the
//! code for it, and says which field or file is wrong and what to do.
//!
//! The roles run in this process, by the very steps of their binaries: the command line is read, the ports
//! are bound, and the role is run.

#![allow(clippy::unwrap_used)]

#[path = "startup/cases.rs"]
mod cases;
#[path = "startup/folders.rs"]
mod folders;
#[path = "startup/member_files.rs"]
mod member_files;
#[path = "startup/site.rs"]
mod site;

use site::Kind;

#[tokio::test(flavor = "multi_thread")]
async fn a_good_configuration_starts_every_role() {
    for kind in Kind::ALL {
        let site = site::Site::new(kind);
        site.starts().await;
        // It starts again where it has run before.
        site.starts().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_refused_by_field() {
    cases::run(&cases::configuration()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_is_refused_by_field() {
    cases::run(&cases::values()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_key_or_certificate_is_refused_by_file() {
    cases::run(&member_files::keys()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_file_is_named() {
    cases::run(&member_files::missing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_directory_is_refused() {
    cases::run(&member_files::directories()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_with_a_bad_entry_is_refused() {
    cases::run(&member_files::entries()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_or_folder_that_cannot_be_used_is_named() {
    cases::run(&folders::cases()).await;
}
