//! What a declared return type says about the value.

use proc_macro2::Span;
use syn::{AngleBracketedGenericArguments, GenericArgument, Path, PathArguments, Token, Type, TypeParamBound};

/// The type with `_` for every `impl Trait` in it: what a `let` or a closure may name.
pub(crate) fn erase_impl_trait(ty: &Type) -> Type {
    let mut erased = ty.clone();
    erase(&mut erased);
    erased
}

fn erase(ty: &mut Type) {
    match ty {
        Type::ImplTrait(opaque) => {
            let span: Span = opaque.impl_token.span;
            *ty = Type::Infer(syn::TypeInfer { attrs: Vec::new(), underscore_token: Token![_](span) });
        }
        Type::Array(array) => erase(&mut array.elem),
        Type::Group(inner) => erase(&mut inner.elem),
        Type::Paren(inner) => erase(&mut inner.elem),
        Type::Path(path) => erase_in_path(&mut path.path),
        Type::Ptr(pointer) => erase(&mut pointer.elem),
        Type::Reference(reference) => erase(&mut reference.elem),
        Type::Slice(slice) => erase(&mut slice.elem),
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(erase),
        Type::TraitObject(object) => {
            for bound in &mut object.bounds {
                if let TypeParamBound::Trait(bound) = bound {
                    erase_in_path(&mut bound.path);
                }
            }
        }
        _ => {}
    }
}

fn erase_in_path(path: &mut Path) {
    for segment in &mut path.segments {
        if let PathArguments::AngleBracketed(list) = &mut segment.arguments {
            for argument in &mut list.args {
                match argument {
                    GenericArgument::Type(ty) => erase(ty),
                    GenericArgument::AssocType(assoc) => erase(&mut assoc.ty),
                    _ => {}
                }
            }
        }
    }
}

pub(crate) fn is_never(ty: &Type) -> bool {
    match ty {
        Type::Never(_) => true,
        Type::Paren(inner) => is_never(&inner.elem),
        Type::Group(inner) => is_never(&inner.elem),
        _ => false,
    }
}

/// Whether the type says by itself that its values are no `Result`s, so that nothing needs to look at one.
pub(crate) fn is_no_result(ty: &Type) -> bool {
    const PRIMITIVES: &[&str] = &[
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128",
        "usize",
    ];
    match ty {
        Type::Never(_) | Type::Tuple(_) | Type::Reference(_) | Type::Ptr(_) | Type::Array(_) | Type::FnPtr(_) => true,
        Type::Paren(inner) => is_no_result(&inner.elem),
        Type::Group(inner) => is_no_result(&inner.elem),
        Type::Path(path) => path.path.get_ident().is_some_and(|name| PRIMITIVES.iter().any(|known| name == known)),
        _ => false,
    }
}

/// `impl Trait` as the whole type: its bounds.
pub(crate) fn opaque_bounds(ty: &Type) -> Option<impl Iterator<Item = &Path>> {
    match ty {
        Type::ImplTrait(opaque) => Some(trait_paths(&opaque.bounds)),
        _ => None,
    }
}

/// `impl Fn(&str) -> usize` and its kin. A closure literal takes its parameter types from the
/// place where it stands, so such a value must stay the function's own tail expression.
pub(crate) fn is_callable(ty: &Type) -> bool {
    const TRAITS: &[&str] = &["Fn", "FnMut", "FnOnce", "AsyncFn", "AsyncFnMut", "AsyncFnOnce"];
    let Some(mut bounds) = opaque_bounds(ty) else {
        return false;
    };
    bounds.any(|path| TRAITS.iter().any(|name| ends_in(path, name)))
}

/// `T` in `impl Future<Output = T>` and in `Pin<Box<dyn Future<Output = T>>>`.
pub(crate) fn future_output(ty: &Type) -> Option<&Type> {
    match ty {
        Type::ImplTrait(opaque) => trait_paths(&opaque.bounds).find_map(output_of),
        Type::TraitObject(object) => trait_paths(&object.bounds).find_map(output_of),
        Type::Group(inner) => future_output(&inner.elem),
        Type::Paren(inner) => future_output(&inner.elem),
        Type::Path(path) if ends_in(&path.path, "Pin") || ends_in(&path.path, "Box") => {
            match generics(&path.path)?.args.first()? {
                GenericArgument::Type(inner) => future_output(inner),
                _ => None,
            }
        }
        _ => None,
    }
}

fn output_of(path: &Path) -> Option<&Type> {
    if !ends_in(path, "Future") {
        return None;
    }
    generics(path)?.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(assoc) if assoc.ident == "Output" => Some(&assoc.ty),
        _ => None,
    })
}

fn trait_paths<'a>(bounds: impl IntoIterator<Item = &'a TypeParamBound>) -> impl Iterator<Item = &'a Path> {
    bounds.into_iter().filter_map(|bound| match bound {
        TypeParamBound::Trait(bound) => Some(&bound.path),
        _ => None,
    })
}

fn generics(path: &Path) -> Option<&AngleBracketedGenericArguments> {
    match &path.segments.last()?.arguments {
        PathArguments::AngleBracketed(list) => Some(list),
        _ => None,
    }
}

fn ends_in(path: &Path, name: &str) -> bool {
    path.segments.last().is_some_and(|last| last.ident == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quote::ToTokens as _;

    fn ty(text: &str) -> Type {
        syn::parse_str(text).expect("a type")
    }

    fn erased(text: &str) -> String {
        erase_impl_trait(&ty(text)).to_token_stream().to_string()
    }

    #[test]
    fn every_impl_trait_becomes_a_placeholder() {
        assert_eq!(erased("impl Iterator<Item = u8> + '_"), "_");
        assert_eq!(erased("Result<impl Display, E>"), "Result < _ , E >");
        assert_eq!(erased("Option<(u8, &'a [impl Copy])>"), "Option < (u8 , & 'a [_]) >");
        assert_eq!(erased("Box<dyn Iterator<Item = impl Copy>>"), "Box < dyn Iterator < Item = _ > >");
    }

    #[test]
    fn the_output_of_declared_futures() {
        let found = |text: &str| future_output(&ty(text)).map(|ty| ty.to_token_stream().to_string());
        assert_eq!(found("impl Future<Output = u8> + Send").as_deref(), Some("u8"));
        assert_eq!(
            found("::core::pin::Pin<Box<dyn core::future::Future<Output = Result<(), E>> + Send + 'a>>").as_deref(),
            Some("Result < () , E >")
        );
        assert_eq!(found("BoxFuture<'a, u8>"), None);
        assert_eq!(found("impl Iterator<Item = u8>"), None);
    }

    #[test]
    fn callables_are_recognised() {
        assert!(is_callable(&ty("impl Fn(&str) -> usize")));
        assert!(is_callable(&ty("impl Send + core::ops::FnOnce() + 'static")));
        assert!(!is_callable(&ty("Box<dyn Fn(&str) -> usize>")));
        assert!(!is_callable(&ty("impl Iterator<Item = u8>")));
    }
}
