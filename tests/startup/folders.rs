//! Ports and data folders that can't be used.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _};

use mesh::store::sled::{Options, SledStore};

use crate::{
    cases::{ALL, Case},
    site::Site,
};

pub(crate) fn cases() -> Vec<Case> {
    let folder = |name, spoil, says| Case { name, kinds: ALL, spoil, code: 73, says };
    vec![
        Case {
            name: "a port in use",
            kinds: ALL,
            spoil: |site| {
                let taken = TcpListener::bind("127.0.0.1:0").unwrap();
                let address = taken.local_addr().unwrap().to_string();
                site.edit(|text| text.replacen("127.0.0.1:0", &address, 1));
                Some(Box::new(taken))
            },
            code: 69,
            says: &["`{port}.address`", "another process has the port", "write another port"],
        },
        Case {
            name: "an address of another machine",
            kinds: ALL,
            spoil: |site| {
                // TEST-NET-1 (RFC 5737), which no machine has.
                site.edit(|text| text.replacen("127.0.0.1:0", "192.0.2.1:0", 1));
                None
            },
            code: 69,
            says: &["`{port}.address`", "192.0.2.1", "an address of this machine"],
        },
        folder(
            "a data folder of another role",
            |site| {
                drop(SledStore::open(data(site), Options::new("merchant/somebody")).unwrap());
                None
            },
            &["{data}", "belongs to merchant/somebody", "choose another folder"],
        ),
        folder(
            "a data folder of another member",
            |site| {
                drop(SledStore::open(data(site), Options::new(format!("{}/other", site.kind.name()))).unwrap());
                None
            },
            &["{data}", "/other", "choose another folder"],
        ),
        folder(
            "a data folder that is in use",
            |site| {
                let owner = format!("{}/{}", site.kind.name(), site.kind.id());
                Some(Box::new(SledStore::open(data(site), Options::new(owner)).unwrap()))
            },
            &["{data}", "in use by process", "stop that process"],
        ),
        folder(
            "a data folder that is a file",
            |site| {
                fs::write(data(site), b"no folder").unwrap();
                None
            },
            &["{data}", "cannot create", "exists"],
        ),
        folder(
            "a database of somebody else's",
            |site| {
                fs::create_dir(data(site)).unwrap();
                fs::set_permissions(data(site), fs::Permissions::from_mode(0o700)).unwrap();
                fs::write(data(site).join("db"), b"a database").unwrap();
                None
            },
            &["{data}", "choose an empty folder"],
        ),
    ]
}

fn data(site: &Site) -> std::path::PathBuf {
    site.network.path(format!("{}-data", site.kind.id()))
}
