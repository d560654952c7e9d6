use span_runtime::prelude::*;

#[span]
mod orders {
    pub fn load() {}
}

fn main() {
    orders::load();
}
