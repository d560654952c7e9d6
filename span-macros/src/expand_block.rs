//! `span!`: from a header and a block to the block that runs in a span.

use proc_macro2::{Group, Span, TokenStream, TokenTree};
use quote::quote_spanned;

use crate::attr::Options;
use crate::errors::Ctxt;
use crate::expand::{Held, Printer, nested, ours};
use crate::item::braces;
use crate::tail::{first_await, has_no_value, is_punct, take_async_block};
use crate::valid;

/// The whole of `span!(input)`. Where the header is wrong the block is still emitted, so that
/// what surrounds it sees no second error.
pub(crate) fn span(input: TokenStream) -> TokenStream {
    let mut cx = Ctxt::new();
    let Some(call) = Call::split(input, &mut cx) else {
        let errors = cx.into_tokens();
        return quote_spanned!(ours()=> { #errors });
    };
    let options = Options::of_block(call.header, &mut cx);
    valid::check_block(&options, &mut cx);
    call.body.check(&mut cx);
    if !cx.is_empty() {
        let body = call.body.into_tokens();
        let errors = cx.into_tokens();
        return quote_spanned!(ours()=> { #errors #body });
    }
    let default_name = quote_spanned!(ours()=> ::core::module_path!());
    let printer = Printer::new(&options, default_name, None, "__span_block_streams");
    match call.body {
        Body::Block(block) => expand_block(&printer, &block),
        Body::Async(keywords, block) => expand_async(&printer, &keywords, &block),
    }
}

/// What `span!` comes to where the runtime is switched off: the block, or the future.
pub(crate) fn body_alone(input: TokenStream) -> TokenStream {
    let mut cx = Ctxt::new();
    match Call::split(input, &mut cx) {
        Some(call) => call.body.into_tokens(),
        None => {
            let errors = cx.into_tokens();
            quote_spanned!(ours()=> { #errors })
        }
    }
}

/// A block, whose value and control flow stay what they are: no closure, a guard beside it.
///
/// ```text
/// {
///     let __span_held = enter(&SITE);
///     match { block } {
///         __span_value => {
///             if failed(&__span_value) { __span_held.outcome().failed(); }
///             __span_value
///         }
///     }
/// }
/// ```
///
/// The value's type may be known only from what is done with it later, as in
/// `let all = span!("all", { parts.collect() }); sum(all)`, or never, where the block does not
/// end. So nothing here may ask for it: `failed` takes any type and leaves it open, where a method
/// of the value's would have to be found at once.
///
/// A `match` rather than a `let`, because clippy finds a `let` wrong whose value diverges.
fn expand_block(printer: &Printer<'_>, block: &Group) -> TokenStream {
    let start = printer.start(Held::Current);
    if has_no_value(block) {
        let (binding, _) = printer.binding(false);
        return quote_spanned!(ours()=> { #binding = #start; #block });
    }
    let rt = &printer.rt;
    let (binding, outcome) = printer.binding(true);
    quote_spanned! {ours()=> {
        #binding = #start;
        match #block {
            #[allow(unreachable_code, reason = "a block may end in `return`, or never")]
            __span_value => {
                if #rt::failed(&__span_value) {
                    #outcome.failed();
                }
                __span_value
            }
        }
    }}
}

/// A future that carries its span. Nothing is awaited here.
///
/// ```text
/// instrument(
///     start_detached(&SITE, Parent::CURRENT, |s| …),
///     async move { block },
///     |outcome, value| if failed(value) { outcome.failed(); },
/// )
/// ```
fn expand_async(printer: &Printer<'_>, keywords: &TokenStream, block: &Group) -> TokenStream {
    let rt = &printer.rt;
    let start = printer.start(Held::Detached);
    let future = quote_spanned!(ours()=> #keywords #block);
    let outcome = quote_spanned! {ours()=>
        |__span_outcome, __span_value| {
            if #rt::failed(__span_value) {
                __span_outcome.failed();
            }
        }
    };
    printer.instrument(Held::Detached, &start, &future, &outcome)
}

/// The arguments of `span!`, taken apart from the end: what it is all about stands there.
struct Call {
    header: TokenStream,
    body: Body,
}

enum Body {
    Block(Group),
    /// `async` or `async move`, and its block.
    Async(TokenStream, Group),
}

impl Call {
    fn split(input: TokenStream, cx: &mut Ctxt) -> Option<Call> {
        let mut tokens: Vec<TokenTree> = input.into_iter().collect();
        let last = tokens.last().map_or_else(Span::call_site, TokenTree::span);
        if tokens.last().is_some_and(|last| is_punct(last, ',')) {
            tokens.pop();
        }
        let body = match take_async_block(&mut tokens) {
            Some((keywords, block)) => Body::Async(keywords, block),
            None => match tokens.last().and_then(braces) {
                Some(block) => {
                    tokens.pop();
                    Body::Block(block)
                }
                None => {
                    report_missing_block(&tokens, last, cx);
                    return None;
                }
            },
        };
        let angle = tokens.first().is_some_and(|first| is_punct(first, '<'));
        match tokens.last() {
            None => {}
            Some(comma) if is_punct(comma, ',') => {
                tokens.pop();
            }
            Some(end) if angle && is_punct(end, '>') => {
                tokens.pop();
                tokens.remove(0);
            }
            Some(end) => {
                let sign = if angle { ">" } else { "," };
                cx.error(end.span(), format!("expected `{sign}` between this and the block of `span!`"));
                if angle {
                    tokens.remove(0);
                }
            }
        }
        Some(Call { header: tokens.into_iter().collect(), body })
    }
}

impl Body {
    fn check(&self, cx: &mut Ctxt) {
        let Body::Block(block) = self else {
            return;
        };
        if let Some(at) = first_await(&block.stream()) {
            cx.error(
                at,
                "`.await` in a `span!` block would leave the span current on this thread while \
                 other tasks run; write `span!(\"name\", async { … }).await`",
            );
        }
    }

    fn into_tokens(self) -> TokenStream {
        match self {
            Body::Block(block) => TokenTree::Group(nested(&block)).into(),
            Body::Async(keywords, block) => quote_spanned!(ours()=> #keywords #block),
        }
    }
}

fn report_missing_block(tokens: &[TokenTree], last: Span, cx: &mut Ctxt) {
    // `span!("name", { … }, "key" = value)`: the block is there, but not at the end.
    let misplaced = tokens
        .windows(3)
        .find(|window| is_punct(&window[0], ',') && braces(&window[1]).is_some() && is_punct(&window[2], ','))
        .map(|window| window[1].span());
    match misplaced {
        Some(at) => cx.error(at, "the block is the last argument of `span!`: move what follows it before it"),
        None => cx.error(last, "the block is missing: it is the last argument, as in `span!(\"name\", { … })`"),
    }
}
