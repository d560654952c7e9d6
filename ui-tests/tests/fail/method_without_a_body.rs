use span_runtime::prelude::*;

trait Repository {
    #[span]
    fn load(&self, order: u64) -> u64;
}

fn main() {}
