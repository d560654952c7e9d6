//! `#[span]`: from a function to the function that runs in a span.

use proc_macro2::{Group, TokenStream};
use quote::{ToTokens as _, quote_spanned};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{LitStr, Type};

use crate::attr::Options;
use crate::errors::Ctxt;
use crate::expand::{Held, Printer, Value, nested, ours, ours_at};
use crate::item::{Function, regroup};
use crate::tail::AsyncTail;
use crate::types::{erase_impl_trait, future_output, is_callable, is_never, is_no_result, opaque_bounds};
use crate::valid;

/// The whole of `#[span(args)] item`. A mistake never costs the item: it is emitted unchanged
/// beside the errors, so that its callers see no second error.
pub(crate) fn span(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut cx = Ctxt::new();
    let options = Options::of_attribute(args, &mut cx);
    let function = Function::parse("#[span]", &item, &mut cx);
    if let Some(function) = &function {
        valid::check_function(&options, function, &mut cx);
        valid::check_lifecycles(&item, "transaction", &mut cx);
        if cx.is_empty() {
            return expand(&options, function);
        }
    }
    let (item, errors) = (valid::without_transaction(item), cx.into_tokens());
    quote_spanned!(ours()=> #item #errors)
}

fn expand(options: &Options, function: &Function) -> TokenStream {
    let name = LitStr::new(&function.sig.ident.unraw().to_string(), ours());
    let default_name = quote_spanned!(ours()=> ::core::concat!(::core::module_path!(), "::", #name));
    let printer = Printer::new(options, default_name, Some("function"), "__span_streams");
    let body = Body { options, function, printer };

    let statements = if options.given("stream").is_some() {
        body.stream()
    } else if function.sig.asyncness.is_some() {
        body.future()
    } else if let Some(tail) = AsyncTail::find(&function.body.stream()) {
        body.returned_future(tail)
    } else {
        body.call()
    };
    let head = &function.head;
    let inner_attrs = &function.inner_attrs;
    let block = regroup(&function.body, quote_spanned!(ours()=> #inner_attrs #statements));
    quote_spanned!(ours()=> #head #block)
}

struct Body<'a> {
    options: &'a Options,
    function: &'a Function,
    printer: Printer<'a>,
}

impl Body<'_> {
    /// A synchronous body.
    ///
    /// Input:
    /// ```text
    /// fn f(args) -> Ret { body }
    /// ```
    ///
    /// Output, where the value may tell of a failure:
    /// ```text
    /// fn f(args) -> Ret {
    ///     let __span_held = enter(&SITE);
    ///     let __span_value = call(move || -> Ret { body });
    ///     if Probe(&__span_value).is_err() { __span_held.outcome().failed(); }
    ///     __span_value
    /// }
    /// ```
    ///
    /// where its type says that it cannot:
    /// ```text
    /// fn f(args) -> Ret { let __span_held = enter(&SITE); call(move || -> Ret { body }) }
    /// ```
    ///
    /// and where there is no value, or one that must stay the tail expression:
    /// ```text
    /// fn f(args) { let __span_held = enter(&SITE); { body } }
    /// ```
    fn call(&self) -> TokenStream {
        let rt = &self.printer.rt;
        let start = self.printer.start(Held::Current);
        let body = &self.function.body;
        let records = self.records();
        let Some(ty) = self.function.output().filter(|ty| !is_never(ty) && (records || !is_callable(ty))) else {
            let (binding, _) = self.printer.binding(false);
            let body = nested(body);
            return quote_spanned!(ours()=> #binding = #start; #body);
        };
        let ret = erase_impl_trait(ty);
        if !records && is_no_result(ty) {
            let (binding, _) = self.printer.binding(false);
            return quote_spanned!(ours()=> #binding = #start; #rt::call(move || -> #ret #body));
        }
        let (binding, outcome) = self.printer.binding(true);
        let report = self.printer.report(Value::Owned, &outcome);
        quote_spanned! {ours()=>
            #binding = #start;
            let __span_value = #rt::call(move || -> #ret #body);
            #report
            __span_value
        }
    }

    /// The body of an `async fn`.
    ///
    /// Input:
    /// ```text
    /// async fn f(args) -> Ret { body }
    /// ```
    ///
    /// Output:
    /// ```text
    /// async fn f(args) -> Ret {
    ///     let __span_held = prepare_future(&SITE, Parent::CURRENT, |s| …);
    ///     instrument_unstarted(
    ///         __span_held,
    ///         async move { <hint: Ret>; { body } },
    ///         |outcome, value| if Probe(value).is_err() { outcome.failed(); },
    ///     ).await
    /// }
    /// ```
    ///
    /// The preparation borrows the arguments and is done with them before the block moves them. The span starts when the future is first
    /// polled, which is at once. It is a
    /// statement of its own: nothing that the options borrow may live across the `.await`.
    fn future(&self) -> TokenStream {
        let start = self.printer.start(Held::Polled);
        let keywords = quote_spanned!(ours()=> async move);
        let future =
            self.instrumented(Held::Polled, &keywords, &self.function.body, Output::Declared(self.function.output()));
        quote_spanned!(ours()=> let __span_held = #start; #future.await)
    }

    /// A function that returns a future which is an async block, as `#[async_trait]` makes them.
    ///
    /// Where the block is all there is, the function is as good as an `async fn`, and the span
    /// starts at the first poll:
    /// ```text
    /// Box::pin(async move {
    ///     let __span_held = prepare_future(…);
    ///     instrument_unstarted(__span_held, async move { <hint>; { body } }, …).await
    /// })
    /// ```
    ///
    /// Statements before the block may use the arguments up, so that the span must start before
    /// them, at the call:
    /// ```text
    /// let __span_held = start_detached(…);
    /// statements
    /// Box::pin(instrument(__span_held, async move { <hint>; { body } }, …))
    /// ```
    fn returned_future(&self, tail: AsyncTail) -> TokenStream {
        let AsyncTail { before, pin, keywords, block } = tail;
        let held = if before.is_empty() { Held::Polled } else { Held::Detached };
        let start = self.printer.start(held);
        let output = match self.function.output().and_then(future_output) {
            Some(ty) => Output::Declared(Some(ty)),
            None => Output::Unknown,
        };
        let future = self.instrumented(held, &keywords, &block, output);
        let start = quote_spanned!(ours()=> let __span_held = #start;);
        let (first, future) = match before.is_empty() {
            true => {
                let lazy = quote_spanned!(ours()=> #keywords { #start #future.await });
                (TokenStream::new(), lazy)
            }
            false => (start, future),
        };
        let future = match pin {
            Some((path, parens)) => {
                let call = regroup(&parens, future);
                quote_spanned!(ours()=> #path #call)
            }
            None => future,
        };
        quote_spanned!(ours()=> #first #before #future)
    }

    /// The `stream` option: the span covers the stream that the body returns.
    ///
    /// ```text
    /// let __span_held = start_detached(…);
    /// instrument_stream(__span_held, call(move || -> _ { body }))
    /// ```
    ///
    /// A type other than `impl Stream`, such as `Pin<Box<dyn Stream>>`, is pinned in a box again.
    fn stream(&self) -> TokenStream {
        let rt = &self.printer.rt;
        let start = self.printer.start(Held::Detached);
        let body = &self.function.body;
        let ret = self.function.output().map(erase_impl_trait);
        let ret = ret.iter();
        let stream = quote_spanned! {ours()=>
            #rt::instrument_stream(__span_held, #rt::call(move || #(-> #ret)* #body))
        };
        let stream = match self.function.output().and_then(opaque_bounds) {
            Some(_) => stream,
            None => quote_spanned!(ours()=> ::std::boxed::Box::pin(#stream)),
        };
        quote_spanned!(ours()=> let __span_held = #start; #stream)
    }

    /// Whether something of the value is to be recorded, and not only whether it is an error.
    fn records(&self) -> bool {
        self.options.given("err").or(self.options.given("ret")).is_some()
    }

    /// `instrument(__span_held, async move { <hint>; body }, outcome)`, or its like
    fn instrumented(&self, held: Held, keywords: &TokenStream, body: &Group, output: Output<'_>) -> TokenStream {
        let hint = output.hint();
        let body = nested(body);
        let future = quote_spanned!(ours()=> #keywords { #hint #body });
        let looked_at = if self.records() { output.has_a_value() } else { output.may_be_a_result() };
        let outcome = self.printer.future_outcome(looked_at);
        let span = quote_spanned!(ours()=> __span_held);
        self.printer.instrument(held, &span, &future, &outcome)
    }
}

/// What is known of the output of an async block.
#[derive(Clone, Copy)]
enum Output<'a> {
    Unknown,
    /// `None` is `()`.
    Declared(Option<&'a Type>),
}

impl Output<'_> {
    /// A statement that never runs and tells the compiler the type of the block it stands in, so
    /// that an error about the type is shown at the user's line and not at the expansion's.
    fn hint(self) -> TokenStream {
        let (ty, at) = match self {
            Output::Declared(Some(ty)) if !is_never(ty) => (erase_impl_trait(ty).to_token_stream(), ours_at(ty.span())),
            Output::Declared(None) => (quote_spanned!(ours()=> ()), ours()),
            _ => return TokenStream::new(),
        };
        quote_spanned! {at=>
            if let ::core::option::Option::Some(__span_value) = ::core::option::Option::None::<#ty> {
                return __span_value;
            }
        }
    }

    fn has_a_value(self) -> bool {
        match self {
            Output::Unknown => true,
            Output::Declared(ty) => ty.is_some_and(|ty| !is_never(ty)),
        }
    }

    fn may_be_a_result(self) -> bool {
        match self {
            Output::Unknown => true,
            Output::Declared(ty) => ty.is_some_and(|ty| !is_no_result(ty)),
        }
    }
}
