//! What a customer has stays the customer's, whoever tries to take it.

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hostile_customer_or_thief_gets_nothing() {
    tests::hostile_customers::table().await.must_be_refused();
}
