span_runtime::lifecycle!(stream);

async fn load(order: u64) -> u64 {
    span!("load", {
        std::future::ready(order).await
    })
}

fn main() {
    drop(load(1));
}
