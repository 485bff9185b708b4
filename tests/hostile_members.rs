//! Every hostile act of a member gets its reason and leaves nothing behind.

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_act_gets_its_reason_and_leaves_nothing_behind() {
    tests::hostile_members::table().await.must_be_refused();
}
