//! Callers who hang up in the middle.

use std::net::{IpAddr, Ipv4Addr};

use issuer::{
    auth::{self, Knowledge, Proof},
    records::Source,
};
use proto::pb;

use super::world::{Run, World, within_patience};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The failures that are counted against any place.
async fn failures(run: &Run) -> u32 {
    let mut failures = 0;
    for bucket in 0..=u16::MAX {
        let stored = run.store.inner.as_ref();
        let stored = mesh::store::Store::get(stored, &Source::at(bucket).record_id()).await.unwrap();
        let read = |record: mesh::store::Record| <Source as prost::Message>::decode(record.body).unwrap().failures;
        failures += stored.map_or(0, read);
    }
    failures
}

#[tokio::test]
async fn a_proof_is_judged_to_the_end_and_its_failure_counted_also_where_its_caller_hangs_up() {
    let (_world, run) = World::new().await;
    let begun = auth::begin(&run.ctx, None, HERE).unwrap();
    let proof = pb::KnowledgeProof {
        national_id: "A123456789".into(),
        user_code: "mei-lin".into(),
        password: "a wrong password".into(),
    };
    let proof = Proof::Knowledge(Knowledge::parse(proof).unwrap());
    {
        let mut proving = Box::pin(auth::prove(&run.ctx, begun.id, proof, HERE));
        let begins =
            std::future::poll_fn(|context| std::task::Poll::Ready(proving.as_mut().poll(context).is_pending()));
        assert!(begins.await);
    }
    run.ctx.tasks.close();
    within_patience(run.ctx.tasks.wait()).await;
    assert_eq!(failures(&run).await, 1);
}
