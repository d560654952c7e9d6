//! Looks at token sequences where parsing the whole body would be too much: bodies may be
//! half-typed, and their tokens are passed on as they are.

use proc_macro2::{Delimiter, Group, Span, TokenStream, TokenTree};

use crate::item::braces;

/// The async block that a function's last expression is, as in `async move { … }` and in
/// `Box::pin(async move { … })`.
pub(crate) struct AsyncTail {
    /// The statements before it.
    pub(crate) before: TokenStream,
    /// `Box::pin` and its parentheses, if the block stands in them.
    pub(crate) pin: Option<(TokenStream, Group)>,
    /// `async` or `async move`.
    pub(crate) keywords: TokenStream,
    pub(crate) block: Group,
}

impl AsyncTail {
    pub(crate) fn find(body: &TokenStream) -> Option<AsyncTail> {
        let mut tokens: Vec<TokenTree> = body.clone().into_iter().collect();
        if let Some((keywords, block)) = take_async_block(&mut tokens) {
            return starts_statement(&tokens).then(|| AsyncTail {
                before: tokens.into_iter().collect(),
                pin: None,
                keywords,
                block,
            });
        }
        let TokenTree::Group(parens) = tokens.pop()? else {
            return None;
        };
        if parens.delimiter() != Delimiter::Parenthesis {
            return None;
        }
        let mut argument: Vec<TokenTree> = parens.stream().into_iter().collect();
        if argument.last().is_some_and(|last| is_punct(last, ',')) {
            argument.pop();
        }
        let (keywords, block) = take_async_block(&mut argument)?;
        if !argument.is_empty() {
            return None;
        }
        let path = take_path(&mut tokens);
        if !ends_in_box_pin(&path) || !starts_statement(&tokens) {
            return None;
        }
        Some(AsyncTail {
            before: tokens.into_iter().collect(),
            pin: Some((path.into_iter().collect(), parens)),
            keywords,
            block,
        })
    }
}

/// `async { … }` or `async move { … }`, taken off the end.
pub(crate) fn take_async_block(tokens: &mut Vec<TokenTree>) -> Option<(TokenStream, Group)> {
    let block = braces(tokens.last()?)?;
    let mut start = tokens.len() - 1;
    if start > 0 && is_word(&tokens[start - 1], "move") {
        start -= 1;
    }
    if start == 0 || !is_word(&tokens[start - 1], "async") {
        return None;
    }
    start -= 1;
    tokens.pop();
    let keywords = tokens.drain(start..).collect();
    Some((keywords, block))
}

/// A path such as `::std::boxed::Box::pin`, taken off the end.
fn take_path(tokens: &mut Vec<TokenTree>) -> Vec<TokenTree> {
    let mut start = tokens.len();
    while start > 0 {
        let fits = match &tokens[start - 1] {
            TokenTree::Ident(_) => {
                // Two words side by side are no path: `return Box::pin(…)`.
                !matches!(tokens.get(start), Some(TokenTree::Ident(_)))
            }
            TokenTree::Punct(punct) => punct.as_char() == ':',
            _ => false,
        };
        if !fits {
            break;
        }
        start -= 1;
    }
    tokens.drain(start..).collect()
}

fn ends_in_box_pin(path: &[TokenTree]) -> bool {
    match path {
        [.., owner, one, two, method] => {
            is_word(owner, "Box") && is_punct(one, ':') && is_punct(two, ':') && is_word(method, "pin")
        }
        _ => false,
    }
}

/// Whether a new expression may start behind these tokens.
fn starts_statement(before: &[TokenTree]) -> bool {
    match before.last() {
        None => true,
        Some(TokenTree::Punct(punct)) => punct.as_char() == ';',
        Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
        Some(_) => false,
    }
}

/// Whether a block certainly has no value: it is empty, or ends in `;`.
pub(crate) fn has_no_value(block: &Group) -> bool {
    block.stream().into_iter().last().is_none_or(|last| is_punct(&last, ';'))
}

/// The first `.await` that would suspend the block itself. What stands in async blocks, async
/// closures and async functions suspends those, and is fine.
///
/// Braced macro calls (`select! { … }`, `stream! { … }`) have a grammar of their own, where
/// `.await` may belong to an async block that the macro makes: they are not looked into.
pub(crate) fn first_await(tokens: &TokenStream) -> Option<Span> {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        match token {
            TokenTree::Punct(dot) if dot.as_char() == '.' => {
                if let Some(TokenTree::Ident(word)) = tokens.get(at + 1) {
                    // `..await` is a range; a method's name cannot be `await`.
                    let range = at > 0 && is_punct(&tokens[at - 1], '.');
                    if word == "await" && !range {
                        return Some(word.span());
                    }
                }
            }
            TokenTree::Ident(word) if word == "async" => {
                at = behind_async(&tokens, at);
                continue;
            }
            TokenTree::Group(group) => {
                let macro_call = at > 0 && is_punct(&tokens[at - 1], '!');
                if !(macro_call && group.delimiter() == Delimiter::Brace) {
                    if let Some(found) = first_await(&group.stream()) {
                        return Some(found);
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where an async block, closure or function that starts at `at` has ended.
fn behind_async(tokens: &[TokenTree], at: usize) -> usize {
    let closure =
        tokens[at + 1..].iter().find(|token| !is_word(token, "move")).is_some_and(|token| is_punct(token, '|'));
    // A block or a function ends with its braces; a closure's body may also be any expression.
    tokens[at..]
        .iter()
        .position(|token| match token {
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !closure,
            TokenTree::Punct(punct) => closure && matches!(punct.as_char(), ',' | ';'),
            _ => false,
        })
        .map_or(tokens.len(), |length| at + length + 1)
}

pub(crate) fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

pub(crate) fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::quote;

    fn block(tokens: TokenStream) -> Group {
        Group::new(Delimiter::Brace, tokens)
    }

    #[test]
    fn an_async_block_at_the_end_is_found() {
        let tail = AsyncTail::find(&quote!(async { 1 })).expect("a tail");
        assert!(tail.before.is_empty() && tail.pin.is_none());
        assert_eq!(tail.keywords.to_string(), "async");

        let tail = AsyncTail::find(&quote!(let x = x.clone(); async move { x })).expect("a tail");
        assert_eq!(tail.before.to_string(), "let x = x . clone () ;");
        assert_eq!(tail.keywords.to_string(), "async move");

        let tail = AsyncTail::find(&quote!(if a { b() } ::std::boxed::Box::pin(async move { 1 },))).expect("a tail");
        assert_eq!(tail.before.to_string(), "if a { b () }");
        let (path, _) = tail.pin.expect("a pin");
        assert_eq!(path.to_string(), ":: std :: boxed :: Box :: pin");
    }

    #[test]
    fn other_tails_are_none() {
        for body in [
            quote!(),
            quote!(ready(1)),
            quote!(let f = async { 1 };),
            quote!(let f = async { 1 }; f),
            quote!(spawn(async { 1 })),
            quote!(Box::pin(foo())),
            quote!(Box::pin(outer(async { 1 }))),
            quote!(Rc::pin(async { 1 })),
            quote!(match x {
                _ => async { 1 },
            }),
            quote!(async { 1 }.boxed()),
        ] {
            assert!(AsyncTail::find(&body).is_none(), "{body}");
        }
    }

    #[test]
    fn blocks_without_a_value() {
        for body in [quote!(), quote!(f();), quote!(return;)] {
            assert!(has_no_value(&block(body.clone())), "{body}");
        }
        for body in [quote!(x), quote!(return), quote!(f(); {}), quote!(loop {})] {
            assert!(!has_no_value(&block(body.clone())), "{body}");
        }
    }

    // behaviour 21
    #[test]
    fn an_await_is_found_only_where_it_suspends_the_block() {
        for body in [
            quote!(f().await),
            quote!(if x {
                g(h().await?)
            }),
            quote!(println!("{}", f().await)),
            quote!(let a = async { 1 }; a.await),
            quote!(let f = async |x| g(x); f(1).await),
        ] {
            assert!(first_await(&body).is_some(), "{body}");
        }
        for body in [
            quote!(async { f().await }),
            quote!(spawn(async move { f().await })),
            quote!(
                async fn g() {
                    f().await
                },
                g()
            ),
            quote!(let f = async |x| g(x).await; f),
            quote!(call(async move |x: u8| { g(x).await }, 1)),
            quote!(span!("inner", async { f().await })),
            quote!(stream! { yield f().await; }),
            quote!(a.awaiting()),
        ] {
            assert!(first_await(&body).is_none(), "{body}");
        }
    }
}
