//! Annotated code, for `tests/same_code.rs`: compiled with and without a declared lifecycle.
#![forbid(unsafe_code)]

#[cfg(declared)]
span_runtime::lifecycle!(stream);

mod shop {
    use span_runtime::span;

    pub(crate) struct Shop;

    impl Shop {
        #[span(name = "checkout", attributes("order" = order))]
        #[inline(never)]
        pub(crate) fn checkout(&self, order: u64) -> Result<u64, String> {
            if order == 0 { Err("no order".into()) } else { Ok(price::<3>(order)) }
        }

        #[span]
        pub(crate) async fn later(&self, order: u64) -> u64 {
            std::future::ready(order).await
        }
    }

    #[span]
    #[inline(never)]
    fn price<const N: u64>(order: u64) -> u64 {
        order * N
    }
}

fn main() {
    let shop = shop::Shop;
    let order = std::env::args().count() as u64;
    assert!(shop.checkout(order).is_ok());
    drop(shop.later(order));
}
