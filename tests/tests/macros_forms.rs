//! `#[span]` on every form of function, and every option, seen from the spans that arrive.

use std::fmt::Display;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use span_runtime::prelude::*;
use span_runtime::testing::Span as Received;
use span_tests::Harness;

span_runtime::lifecycle!(stream);

/// Runs `work` and gives what it gave, with the only span that it made.
fn one<T>(work: impl FnOnce() -> T) -> (T, Received) {
    let harness = Harness::new();
    let value = work();
    let mut spans = harness.finish();
    assert_eq!(spans.len(), 1, "{spans:?}");
    (value, spans.remove(0))
}

fn named<'a>(spans: &'a [Received], end: &str) -> &'a Received {
    spans.iter().find(|span| span.name.ends_with(end)).unwrap_or_else(|| panic!("no span called {end} in {spans:?}"))
}

fn text<'a>(span: &'a Received, key: &str) -> Option<&'a str> {
    span.attribute(key).and_then(|value| value.as_str())
}

fn number(span: &Received, key: &str) -> Option<i64> {
    span.attribute(key).and_then(|value| value.as_i64())
}

/// Polls to the end on this thread; for futures that wake themselves.
fn run<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Ready at the second poll.
#[derive(Default)]
struct Pause(bool);

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn pause() -> Pause {
    Pause::default()
}

/// Gives the numbers up to three.
struct Three(u8);

impl Stream for Three {
    type Item = u8;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<u8>> {
        leaf();
        self.0 += 1;
        Poll::Ready((self.0 <= 3).then_some(self.0))
    }
}

fn next<S: Stream + ?Sized>(stream: Pin<&mut S>) -> Option<S::Item> {
    match stream.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(item) => item,
        Poll::Pending => panic!("the streams of these tests are never pending"),
    }
}

#[span(name = "leaf")]
fn leaf() {}

mod functions {
    use super::*;

    #[span]
    fn plain() {
        leaf();
    }

    // behaviour 17, 18
    #[test]
    fn a_plain_function_is_named_by_its_path_and_is_the_current_span() {
        let harness = Harness::new();
        plain();
        let spans = harness.finish();
        let plain = named(&spans, "plain");
        assert_eq!(plain.name, "macros_forms::functions::plain");
        assert_eq!(text(plain, "sentry.op"), Some("function"));
        assert_eq!(plain.status, "ok");
        let parent = named(&spans, "leaf").parent_span_id.as_ref();
        assert_eq!(parent, Some(&plain.span_id));
    }

    #[span]
    fn r#match() -> u8 {
        7
    }

    #[test]
    fn a_raw_name_loses_its_prefix() {
        let (value, span) = one(r#match);
        assert_eq!((value, span.name.as_str()), (7, "macros_forms::functions::match"));
    }

    #[span]
    fn early(x: u8) -> Result<u8, std::num::ParseIntError> {
        if x == 0 {
            return Ok(1);
        }
        let parsed: u8 = "300".parse()?;
        Ok(parsed)
    }

    // behaviour 8
    #[test]
    fn an_error_sets_the_status_and_an_early_return_does_not() {
        let (value, span) = one(|| early(0));
        assert_eq!((value, span.status.as_str()), (Ok(1), "ok"));
        let (value, span) = one(|| early(1));
        assert!(value.is_err());
        assert_eq!(span.status, "error");
        assert_eq!(span.attribute("error.message"), None);
    }

    #[span]
    fn panics() -> u8 {
        panic!("on purpose")
    }

    // behaviour 8
    #[test]
    fn a_panic_sets_the_status() {
        let (value, span) = one(|| std::panic::catch_unwind(panics));
        assert!(value.is_err());
        assert_eq!(span.status, "error");
    }

    #[span]
    fn never(stop: bool) -> ! {
        loop {
            if stop {
                std::panic::resume_unwind(Box::new(()));
            }
        }
    }

    #[test]
    fn a_function_that_never_returns_compiles() {
        let (value, _) = one(|| std::panic::catch_unwind(|| never(true)));
        assert!(value.is_err());
    }

    #[span]
    fn generic<'a, T, const N: usize>(text: &'a T, _: [u8; N]) -> (&'a T, usize)
    where
        T: Display + ?Sized + 'a,
    {
        (text, N)
    }

    #[span]
    fn opaque(up_to: u8) -> impl Iterator<Item = u8> + Clone {
        (0..up_to).filter(|n| n % 2 == 0)
    }

    #[span]
    fn opaque_inside(up_to: u8) -> Result<(impl Iterator<Item = u8>, u8), String> {
        Ok((0..up_to, up_to))
    }

    #[span]
    fn callable(add: usize) -> impl Fn(&str) -> usize {
        move |text| text.len() + add
    }

    #[span]
    fn takes_opaque(item: impl Into<String>, mut times: usize) -> String {
        times += 1;
        item.into().repeat(times)
    }

    #[span]
    fn boxed_callable() -> Box<dyn Fn(&str) -> usize> {
        Box::new(|text| text.len())
    }

    #[span]
    unsafe fn raw(pointer: *const u8) -> u8 {
        // SAFETY: the test passes a pointer to a living value.
        unsafe { *pointer }
    }

    #[span]
    extern "C" fn foreign(x: u8) -> u8 {
        x + 1
    }

    #[span]
    fn patterns((a, _): (u8, u8), [b, ..]: [u8; 3], Pair { left, .. }: Pair) -> u8 {
        a + b + left
    }

    struct Pair {
        left: u8,
        #[expect(dead_code, reason = "there to be passed over by a pattern")]
        right: u8,
    }

    #[span]
    #[inline]
    #[must_use]
    #[doc(alias = "other")]
    /// Has documentation.
    fn decorated(#[cfg(not(any()))] x: u8, #[cfg(any())] y: u8) -> u8 {
        #![expect(unused_variables, reason = "an inner attribute must keep its place")]
        let unused = 1;
        x
    }

    #[span]
    fn recursive(n: u64) -> u64 {
        #[span(name = "step")]
        fn step(n: u64) -> u64 {
            n - 1
        }
        if n == 0 { 0 } else { 1 + recursive(step(n)) }
    }

    #[span]
    fn moves(text: String, list: Vec<String>) -> Vec<String> {
        let mut list = list;
        list.push(text);
        list
    }

    // behaviour 17
    #[test]
    fn every_form_of_function_gives_its_value_and_one_span() {
        assert_eq!(one(|| generic("x", [0; 3])).0, ("x", 3));
        assert_eq!(one(|| opaque(5)).0.collect::<Vec<_>>(), [0, 2, 4]);
        assert_eq!(one(|| opaque_inside(2)).0.expect("an iterator").0.count(), 2);
        assert_eq!(one(|| callable(1)).0("abc"), 4);
        assert_eq!(one(boxed_callable).0("abc"), 3);
        assert_eq!(one(|| takes_opaque("ab", 1)).0, "abab");
        // SAFETY: the literal lives for the whole program.
        assert_eq!(one(|| unsafe { raw(&9) }).0, 9);
        assert_eq!(one(|| foreign(1)).0, 2);
        let pair = Pair { left: 3, right: 0 };
        assert_eq!(one(|| patterns((1, 0), [2, 0, 0], pair)).0, 6);
        assert_eq!(one(|| decorated(4)).0, 4);
        assert_eq!(one(|| moves("a".into(), vec![])).0, ["a"]);
        let harness = Harness::new();
        assert_eq!(recursive(2), 2);
        assert_eq!(harness.finish().len(), 5);
    }
}

mod methods {
    use super::*;

    #[derive(Clone, Default)]
    struct Store {
        items: Vec<String>,
    }

    impl Store {
        #[span]
        fn new() -> Self {
            Self::default()
        }

        #[span]
        fn first(&self) -> Option<&String> {
            self.items.first()
        }

        #[span]
        fn first_mut(&mut self) -> Option<&mut String> {
            self.items.first_mut()
        }

        #[span]
        fn slot(&mut self, text: &str) -> &mut String {
            self.items.push(text.to_owned());
            let last = self.items.len() - 1;
            &mut self.items[last]
        }

        #[span(attributes("store.len" = self.items.len()))]
        fn into_items(mut self) -> Vec<String> {
            self.items.reverse();
            self.items
        }

        #[span]
        fn boxed(self: Box<Self>) -> Vec<String> {
            self.items
        }

        #[span]
        fn shared(self: &Arc<Self>) -> usize {
            self.items.len()
        }

        #[span]
        fn counted(self: Rc<Self>) -> usize {
            self.items.len()
        }

        #[span]
        fn pinned(self: Pin<&mut Self>) -> &mut Vec<String> {
            &mut self.get_mut().items
        }

        #[span]
        async fn stored(&mut self, text: &str) -> &str {
            pause().await;
            self.items.push(text.to_owned());
            &self.items[0]
        }
    }

    trait Shape {
        const SIDES: u32;

        fn side(&self) -> u32;

        #[span]
        fn around(&self) -> u32 {
            self.side() * Self::SIDES
        }

        #[span]
        fn consume(self) -> u32
        where
            Self: Sized,
        {
            self.side()
        }
    }

    struct Square(u32);

    impl Shape for Square {
        const SIDES: u32 = 4;

        #[span(name = "Square::side")]
        fn side(&self) -> u32 {
            self.0
        }
    }

    struct Holder<T, const N: usize>([T; N]);

    impl<T: Clone, const N: usize> Holder<T, N> {
        #[span]
        fn get<U>(&self, at: usize, and: U) -> Option<(T, U)> {
            self.0.get(at).cloned().map(|found| (found, and))
        }
    }

    // behaviour 17
    #[test]
    fn methods_take_self_in_every_form() {
        let (mut store, span) = one(Store::new);
        assert_eq!(span.name, "macros_forms::methods::new");
        assert_eq!(one(|| store.slot("a").clone()).0, "a");
        assert_eq!(one(|| store.first().cloned()).0.as_deref(), Some("a"));
        one(|| store.first_mut().expect("an item").push('b'));
        one(|| Pin::new(&mut store).pinned().push("c".into()));
        assert_eq!(one(|| Box::new(store.clone()).boxed()).0, ["ab", "c"]);
        assert_eq!(one(|| Arc::new(store.clone()).shared()).0, 2);
        assert_eq!(one(|| Rc::new(store.clone()).counted()).0, 2);
        assert_eq!(one(|| run(store.stored("d")).to_owned()).0, "ab");
        let (items, span) = one(|| store.into_items());
        assert_eq!(items, ["d", "c", "ab"]);
        assert_eq!(number(&span, "store.len"), Some(3));
    }

    // behaviour 17
    #[test]
    fn methods_of_traits_and_of_generic_types() {
        let harness = Harness::new();
        assert_eq!(Square(2).around(), 8);
        let spans = harness.finish();
        let parent = named(&spans, "Square::side").parent_span_id.as_ref();
        assert_eq!(parent, Some(&named(&spans, "around").span_id));
        let harness = Harness::new();
        assert_eq!(Square(2).consume(), 2);
        assert_eq!(harness.finish().len(), 2);
        assert_eq!(one(|| Holder([1, 2]).get(1, 'x')).0, Some((2, 'x')));
    }
}

mod futures {
    use super::*;

    #[span]
    async fn plain(x: u8) -> u8 {
        leaf();
        pause().await;
        leaf();
        x + 1
    }

    // behaviour 17
    #[test]
    fn an_async_function_is_current_in_every_poll_and_not_between_them() {
        let harness = Harness::new();
        let mut future = Box::pin(plain(1));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(future.as_mut().poll(&mut context), Poll::Pending);
        outside();
        assert_eq!(future.as_mut().poll(&mut context), Poll::Ready(2));
        let spans = harness.finish();
        let plain = named(&spans, "plain");
        let leaves: Vec<_> = spans.iter().filter(|span| span.name == "leaf").collect();
        assert_eq!(leaves.len(), 2);
        for leaf in leaves {
            assert_eq!(leaf.parent_span_id.as_ref(), Some(&plain.span_id));
        }
        assert_eq!(named(&spans, "outside").parent_span_id, None);
    }

    #[span(root)]
    fn outside() {}

    #[span]
    async fn fallible(fail: bool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        pause().await;
        if fail {
            Err("no luck")?;
        }
        Ok(())
    }

    // behaviour 8
    #[test]
    fn an_error_of_a_future_sets_the_status() {
        assert_eq!(one(|| run(fallible(false))).1.status, "ok");
        assert_eq!(one(|| run(fallible(true))).1.status, "error");
    }

    // behaviour 8
    #[test]
    fn a_future_that_is_dropped_is_cancelled_and_no_error() {
        let (_, span) = one(|| {
            let mut future = Box::pin(unit());
            let mut context = Context::from_waker(Waker::noop());
            assert!(future.as_mut().poll(&mut context).is_pending());
        });
        assert_eq!(span.status, "ok");
        let cancelled = span.attribute("span.cancelled");
        assert_eq!(cancelled.and_then(|value| value.as_bool()), Some(true));
    }

    #[span]
    async fn unit() {
        pause().await;
    }

    #[span]
    async fn elided(text: &str, other: &mut String) -> usize {
        other.push_str(text);
        pause().await;
        other.len()
    }

    #[span]
    async fn generic<T, const N: usize>(items: [T; N]) -> impl Iterator<Item = T>
    where
        T: Send,
    {
        pause().await;
        items.into_iter()
    }

    #[span(args(owned), attributes("text.len" = text.len()))]
    async fn recorded(text: String, owned: String) -> String {
        text + &owned
    }

    #[span]
    async fn forever(stop: bool) -> ! {
        loop {
            pause().await;
            if stop {
                std::panic::resume_unwind(Box::new(()));
            }
        }
    }

    // behaviour 17
    #[test]
    fn every_form_of_async_function_gives_its_value_and_one_span() {
        one(|| run(unit()));
        let mut other = "a".to_owned();
        assert_eq!(one(|| run(elided("bc", &mut other))).0, 3);
        assert_eq!(one(|| run(generic([1, 2]))).0.sum::<i32>(), 3);
        let (value, span) = one(|| run(recorded("ab".into(), "c".into())));
        assert_eq!(value, "abc");
        assert_eq!(text(&span, "owned"), Some("c"));
        assert_eq!(number(&span, "text.len"), Some(2));
        let stopped = std::panic::AssertUnwindSafe(|| run(forever(true)));
        assert!(one(|| std::panic::catch_unwind(stopped)).0.is_err());
    }

    fn assert_send<T: Send>(value: T) -> T {
        value
    }

    #[test]
    fn a_future_stays_send() {
        let harness = Harness::new();
        run(assert_send(plain(1)));
        run(assert_send(fallible(false))).expect("no failure");
        assert_eq!(run(assert_send(returned("a".into()))), Ok(1));
        run(assert_send(recorded("a".into(), "b".into())));
        run(assert_send(span!("block", async { pause().await })));
        assert!(harness.finish().len() >= 5);
    }

    // `Rc` keeps this future on its thread; the macro must not ask for `Send`.
    #[span]
    async fn not_send(count: Rc<u8>) -> u8 {
        pause().await;
        *count
    }

    #[test]
    fn a_future_need_not_be_send() {
        assert_eq!(one(|| run(not_send(Rc::new(3)))).0, 3);
    }

    #[span]
    #[expect(clippy::manual_async_fn, reason = "this form is what is tested")]
    fn returned(text: String) -> impl Future<Output = Result<usize, String>> + Send {
        async move {
            pause().await;
            if text.is_empty() {
                return Err("empty".into());
            }
            Ok(text.len())
        }
    }

    #[span(args(text))]
    fn boxed<'a>(text: &'a str) -> Pin<Box<dyn Future<Output = &'a str> + Send + 'a>> {
        Box::pin(async move {
            pause().await;
            leaf();
            text
        })
    }

    type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

    #[span(name = format!("prepare {text}"))]
    fn prepared(text: &str) -> Boxed<Result<u8, std::num::ParseIntError>> {
        let text = text.to_owned();
        leaf();
        Box::pin(async move {
            pause().await;
            text.parse()
        })
    }

    // behaviour 17
    #[test]
    fn a_returned_async_block_is_covered_to_its_end() {
        let (value, span) = one(|| run(returned("abc".into())));
        assert_eq!((value, span.status.as_str()), (Ok(3), "ok"));
        let (value, span) = one(|| run(returned(String::new())));
        assert!(value.is_err());
        assert_eq!(span.status, "error");

        let harness = Harness::new();
        assert_eq!(run(boxed("abc")), "abc");
        let spans = harness.finish();
        let boxed = named(&spans, "boxed");
        assert_eq!(text(boxed, "text"), Some("abc"));
        assert_eq!(named(&spans, "leaf").parent_span_id.as_ref(), Some(&boxed.span_id));

        let harness = Harness::new();
        assert!(run(prepared("x")).is_err());
        let spans = harness.finish();
        assert_eq!(named(&spans, "prepare x").status, "error");
        assert_eq!(named(&spans, "leaf").parent_span_id, None);
    }

    #[span]
    fn made_elsewhere() -> impl Future<Output = u8> {
        std::future::ready(3)
    }

    #[test]
    fn a_future_made_elsewhere_is_a_value_like_any_other() {
        let harness = Harness::new();
        let future = made_elsewhere();
        assert_eq!(harness.finish().len(), 1, "the span covers the call alone");
        assert_eq!(run(future), 3);
    }

    // The span of a future that nobody polls is never started.
    #[test]
    fn an_async_function_that_is_not_polled_makes_no_span() {
        let harness = Harness::new();
        drop(plain(1));
        drop(boxed("x"));
        assert!(harness.finish().is_empty());
    }
}

mod under_async_trait {
    use super::*;

    #[async_trait::async_trait]
    trait Repository: Send + Sync {
        async fn find(&self, id: u64) -> Result<String, String>;

        #[span(args(id))]
        async fn describe(&self, id: u64) -> String {
            match self.find(id).await {
                Ok(found) => found,
                Err(error) => error,
            }
        }
    }

    struct Memory {
        prefix: &'static str,
    }

    #[async_trait::async_trait]
    impl Repository for Memory {
        #[span(name = "find", args(id), attributes("repository.prefix" = self.prefix))]
        async fn find(&self, mut id: u64) -> Result<String, String> {
            pause().await;
            if id == 0 {
                return Err("none".into());
            }
            id += 1;
            Ok(format!("{}{id}", self.prefix))
        }
    }

    // behaviour 17
    #[test]
    fn methods_are_covered_to_the_end_of_their_future() {
        let harness = Harness::new();
        let memory: Box<dyn Repository> = Box::new(Memory { prefix: "n" });
        assert_eq!(run(memory.describe(1)), "n2");
        assert_eq!(run(memory.describe(0)), "none");
        let spans = harness.finish();
        assert_eq!(spans.len(), 4);
        for found in spans.iter().filter(|span| span.name == "find") {
            let id = number(found, "id").expect("the argument");
            assert_eq!(found.status, if id == 0 { "error" } else { "ok" });
            assert_eq!(text(found, "repository.prefix"), Some("n"));
            let parent =
                spans.iter().find(|span| Some(&span.span_id) == found.parent_span_id.as_ref()).expect("a parent");
            assert!(parent.name.ends_with("describe"), "{}", parent.name);
        }
    }
}

mod streams {
    use super::*;

    #[span]
    fn only_the_call() -> impl Iterator<Item = u8> {
        leaf();
        [1, 2].into_iter().inspect(|_| leaf())
    }

    // behaviour 17
    #[test]
    fn an_iterator_is_covered_for_the_call() {
        let harness = Harness::new();
        assert_eq!(only_the_call().sum::<u8>(), 3);
        let spans = harness.finish();
        let call = Some(named(&spans, "only_the_call").span_id.clone());
        let inside = spans.iter().filter(|span| span.parent_span_id == call);
        assert_eq!((spans.len(), inside.count()), (4, 1));
    }

    #[span(stream, name = "stream")]
    fn opaque() -> impl Stream<Item = u8> {
        Three(0)
    }

    #[span(stream, name = "stream")]
    fn boxed<'a>(first: &'a u8) -> Pin<Box<dyn Stream<Item = u8> + Send + 'a>> {
        if *first > 3 {
            return Box::pin(Three(3));
        }
        Box::pin(Three(*first))
    }

    // behaviour 17
    #[test]
    fn a_stream_is_covered_until_it_ends() {
        let harness = Harness::new();
        let mut stream = pin!(opaque());
        let mut sum = 0;
        while let Some(item) = next(stream.as_mut()) {
            sum += item;
        }
        assert_eq!(sum, 6);
        let spans = harness.finish();
        let parent = Some(named(&spans, "stream").span_id.clone());
        let inside = spans.iter().filter(|span| span.parent_span_id == parent);
        assert_eq!((spans.len(), inside.count()), (5, 4));
    }

    // behaviour 17
    #[test]
    fn a_boxed_stream_is_covered_until_it_is_dropped() {
        let harness = Harness::new();
        let mut stream = boxed(&1);
        assert_eq!(next(stream.as_mut()), Some(2));
        drop(stream);
        let spans = harness.finish();
        assert_eq!(spans.len(), 2);
        named(&spans, "stream");
    }
}

mod options {
    use super::*;

    #[span("short")]
    fn short() {}

    #[span(name = format!("GET {route}"))]
    fn built(route: &str) -> usize {
        route.len()
    }

    const NAME: &str = "constant";

    #[span(name = NAME,)]
    fn constant() {}

    // behaviour 16, 18
    #[test]
    fn names_are_static_or_built_from_the_arguments() {
        assert_eq!(one(short).1.name, "short");
        assert_eq!(one(|| built("/users")).1.name, "GET /users");
        assert_eq!(one(constant).1.name, "constant");
    }

    struct Order {
        id: u64,
        note: Option<&'static str>,
    }

    #[span(
        attributes(
            "order.id" = order.id,
            order.kind = "retail",
            http.r#type = 1.5,
            "order.urgent" = order.id > 3 && total < 10,
            "order.note" = order.note.unwrap_or("none"),
        ),
        args(total, r#in),
    )]
    fn attributes(order: Order, total: i64, r#in: &str) -> (Order, i64, usize) {
        (order, total, r#in.len())
    }

    // behaviour 14, 18
    #[test]
    fn attributes_and_arguments_are_recorded_and_nothing_else() {
        let order = Order { id: 7, note: None };
        let ((order, total, _), span) = one(|| attributes(order, 9, "box"));
        assert_eq!((order.id, order.note, total), (7, None, 9));
        assert_eq!(number(&span, "order.id"), Some(7));
        assert_eq!(text(&span, "order.kind"), Some("retail"));
        assert_eq!(span.attribute("http.type").and_then(|value| value.as_f64()), Some(1.5));
        assert_eq!(span.attribute("order.urgent").and_then(|value| value.as_bool()), Some(true));
        assert_eq!(text(&span, "order.note"), Some("none"));
        assert_eq!(number(&span, "total"), Some(9));
        assert_eq!(text(&span, "in"), Some("box"));
        assert_eq!(span.attribute("order"), None);
    }

    #[span(attributes("sentry.op" = "db.query"), source = "task")]
    fn overridden() {}

    // behaviour 18
    #[test]
    fn the_op_can_be_given_and_the_source_can_be_named() {
        let (_, span) = one(overridden);
        assert_eq!(text(&span, "sentry.op"), Some("db.query"));
        assert_eq!(text(&span, "sentry.segment.name.source"), Some("task"));
    }

    #[span(name = "child", parent = parent)]
    fn child_of(parent: &span_runtime::Span) {}

    #[span(name = "child", parent = &parent.handle())]
    async fn async_child_of(parent: &span_runtime::Span) -> u8 {
        pause().await;
        1
    }

    #[span(parent = None)]
    fn no_parent() {}

    #[span(root)]
    fn root() {}

    #[span]
    fn surrounded() {
        no_parent();
        root();
        leaf();
    }

    // behaviour 10
    #[test]
    fn a_parent_is_absent_none_or_some() {
        for by_future in [false, true] {
            let harness = Harness::new();
            let parent = start_span("far away").inactive().start();
            if by_future {
                assert_eq!(run(async_child_of(&parent)), 1);
            } else {
                child_of(&parent);
            }
            parent.end();
            let spans = harness.finish();
            let parent = Some(&named(&spans, "far away").span_id);
            assert_eq!(named(&spans, "child").parent_span_id.as_ref(), parent);
        }
        let harness = Harness::new();
        surrounded();
        let spans = harness.finish();
        assert_eq!(named(&spans, "::no_parent").parent_span_id, None);
        assert_eq!(named(&spans, "::root").parent_span_id, None);
        let surrounded = Some(&named(&spans, "surrounded").span_id);
        assert_eq!(named(&spans, "leaf").parent_span_id.as_ref(), surrounded);
    }

    #[span(inactive)]
    fn beside() -> Result<(), String> {
        leaf();
        Err("no".into())
    }

    #[span(inactive)]
    fn beside_unit() {
        leaf();
    }

    #[span(inactive)]
    async fn beside_async() -> u8 {
        pause().await;
        leaf();
        1
    }

    // behaviour 9
    #[test]
    fn an_inactive_span_measures_and_is_nobodys_parent() {
        let harness = Harness::new();
        beside_unit();
        assert!(beside().is_err());
        run(beside_async());
        let spans = harness.finish();
        assert_eq!(spans.len(), 6);
        assert_eq!(named(&spans, "beside").status, "error");
        for leaf in spans.iter().filter(|span| span.name == "leaf") {
            assert_eq!(leaf.parent_span_id, None);
        }
    }

    #[span(err, ret)]
    fn told(fail: bool) -> Result<u8, String> {
        if fail { Err("no luck".into()) } else { Ok(3) }
    }

    #[span(err)]
    async fn told_later(fail: bool) -> Result<u8, Box<dyn std::error::Error>> {
        pause().await;
        if fail { Err("no luck".into()) } else { Ok(3) }
    }

    #[span(ret)]
    fn value() -> &'static str {
        "x"
    }

    // behaviour 18
    #[test]
    fn errors_and_values_are_recorded_where_asked() {
        let (_, span) = one(|| told(true));
        assert_eq!(span.status, "error");
        assert_eq!(text(&span, "error.message"), Some("no luck"));
        let (_, span) = one(|| told(false));
        assert_eq!(span.status, "ok");
        assert_eq!(span.attribute("error.message"), None);
        assert_eq!(text(&span, "function.return_value"), Some("Ok(3)"));
        let (_, span) = one(|| run(told_later(true)).is_err());
        assert_eq!(text(&span, "error.message"), Some("no luck"));
        assert_eq!(text(&one(value).1, "function.return_value"), Some("\"x\""));
    }

    mod renamed {
        pub(super) use span_runtime as runtime;
    }

    #[span(crate = renamed::runtime)]
    fn by_another_path() -> u8 {
        1
    }

    #[test]
    fn the_runtime_may_be_reached_by_another_path() {
        assert_eq!(one(by_another_path).0, 1);
    }
}
