// The legacy API's `init` chooses the static lifecycle, so the crate has to say that it uses it.
use span_runtime::Options;

fn main() {
    let _guard = span_runtime::legacy::init(Options::from_env());
}
