// In a module and on a method it is the same.
span_runtime::lifecycle!(static);

mod shop {
    pub struct Shop;

    impl Shop {
        #[span_runtime::span]
        pub async fn checkout(&self) {}
    }
}

fn main() {
    drop(shop::Shop.checkout());
}
