//! A hostile platform learns no card data and moves no money.

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hostile_platform_learns_no_card_data_and_moves_no_money() {
    tests::hostile_platform::table().await.must_be_refused();
}
