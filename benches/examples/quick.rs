//! x
use span_runtime::__private::{Callsite, enter};
use span_runtime::*;
use span_runtime::transport::*;
use std::time::*;
struct Null;
impl Transport for Null { fn send(&mut self, _: &[u8]) -> Result<Response, TransportError> { Ok(Response::new(200)) } }
static SITE: Callsite = Callsite::new("child");
fn main() {
    let g = init(Options::new().transport(Null).traces_sample_rate(1.0)).unwrap();
    for round in 0..6 {
        let n = 200; 
        let mut total = Duration::ZERO;
        for _ in 0..n {
            let _root = start_span("root").start();
            let t = Instant::now();
            for _ in 0..1000 { let _c = enter(&SITE); }
            total += t.elapsed();
        }
        println!("round {round}: {:.1} ns/span {}", total.as_nanos() as f64 / (n*1000) as f64, g.stats());
        g.flush(Duration::from_secs(5));
    }
    let t = Instant::now();
    for _ in 0..2_000_000 { std::hint::black_box(fast()); }
    println!("clock {:.1}", t.elapsed().as_nanos() as f64/2e6);
    let (ok, s) = g.close(Duration::from_secs(5)); println!("{ok} {s}");
    let _g = init(Options::new().transport(Null).traces_sample_rate(0.0)).unwrap();
    let _root = start_span("root").start();
    let t = Instant::now();
    for _ in 0..2_000_000 { let _c = enter(&SITE); }
    println!("unsampled {:.1}", t.elapsed().as_nanos() as f64/2e6);
    drop(_root); drop(_g);
    let t = Instant::now();
    for _ in 0..2_000_000 { let _c = enter(&SITE); }
    println!("off {:.1}", t.elapsed().as_nanos() as f64/2e6);
}
fn fast() -> Instant { Instant::now() }
