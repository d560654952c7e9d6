//! Parallel iterators that take along what is current.
//!
//! Rayon cuts the work into pieces, each of which one thread runs from its start to its end. What is carried is entered for as long as a
//! piece has its folder, or its iterator, and for each reduction of two pieces' results.

use ::rayon::iter::plumbing::{Consumer, Folder, Producer, ProducerCallback, Reducer, UnindexedConsumer};
use ::rayon::iter::{IndexedParallelIterator, ParallelIterator};
use span_runtime::{Context, ContextGuard};

/// Takes along what is current into a parallel iterator.
pub trait InCurrentSpan: ParallelIterator {
    /// Runs the closures of the chain with what is current here, those before this call and those behind it. Best put last, before the method
    /// that consumes the chain. A call of its own need those before `flat_map` and `flatten`, which run iterators of their own, and
    /// those behind `chunks`, which gathers items first.
    ///
    /// ```
    /// use rayon::prelude::*;
    /// use span_integrations::rayon::InCurrentSpan as _;
    ///
    /// let doubled: Vec<i32> = [1, 2].into_par_iter().map(|n| n * 2).in_current_span().collect();
    /// assert_eq!(doubled, [2, 4]);
    /// ```
    fn in_current_span(self) -> Carried<Self> {
        Carried { base: self, here: Context::current() }
    }
}

impl<I: ParallelIterator> InCurrentSpan for I {}

/// A parallel iterator that takes along what was current; made by [`in_current_span`](InCurrentSpan::in_current_span).
#[derive(Debug, Clone)]
#[must_use = "iterator adaptors are lazy and do nothing unless consumed"]
pub struct Carried<I> {
    base: I,
    here: Context,
}

impl<I: ParallelIterator> ParallelIterator for Carried<I> {
    type Item = I::Item;

    fn drive_unindexed<C: UnindexedConsumer<I::Item>>(self, consumer: C) -> C::Result {
        self.base.drive_unindexed(In { base: consumer, here: &self.here })
    }

    fn opt_len(&self) -> Option<usize> {
        self.base.opt_len()
    }
}

impl<I: IndexedParallelIterator> IndexedParallelIterator for Carried<I> {
    fn drive<C: Consumer<I::Item>>(self, consumer: C) -> C::Result {
        self.base.drive(In { base: consumer, here: &self.here })
    }

    fn len(&self) -> usize {
        self.base.len()
    }

    fn with_producer<B: ProducerCallback<I::Item>>(self, callback: B) -> B::Output {
        self.base.with_producer(In { base: callback, here: &self.here })
    }
}

/// A part of rayon's plumbing, in what is carried.
struct In<'c, P> {
    base: P,
    here: &'c Context,
}

impl<T, B: ProducerCallback<T>> ProducerCallback<T> for In<'_, B> {
    type Output = B::Output;

    fn callback<P: Producer<Item = T>>(self, producer: P) -> B::Output {
        self.base.callback(In { base: producer, here: self.here })
    }
}

impl<P: Producer> Producer for In<'_, P> {
    type Item = P::Item;
    type IntoIter = Entered<P::IntoIter>;

    fn into_iter(self) -> Self::IntoIter {
        let guard = self.here.enter();
        Entered { base: self.base.into_iter(), guard }
    }

    fn min_len(&self) -> usize {
        self.base.min_len()
    }

    fn max_len(&self) -> usize {
        self.base.max_len()
    }

    fn split_at(self, index: usize) -> (Self, Self) {
        let (left, right) = self.base.split_at(index);
        (In { base: left, here: self.here }, In { base: right, here: self.here })
    }

    fn fold_with<F: Folder<P::Item>>(self, folder: F) -> F {
        let _entered = self.here.enter();
        self.base.fold_with(folder)
    }
}

impl<'c, T, C: Consumer<T>> Consumer<T> for In<'c, C> {
    type Folder = Entered<C::Folder>;
    type Reducer = In<'c, C::Reducer>;
    type Result = C::Result;

    fn split_at(self, index: usize) -> (Self, Self, Self::Reducer) {
        let here = self.here;
        let (left, right, reducer) = self.base.split_at(index);
        (In { base: left, here }, In { base: right, here }, In { base: reducer, here })
    }

    fn into_folder(self) -> Self::Folder {
        let guard = self.here.enter();
        Entered { base: self.base.into_folder(), guard }
    }

    fn full(&self) -> bool {
        self.base.full()
    }
}

impl<T, C: UnindexedConsumer<T>> UnindexedConsumer<T> for In<'_, C> {
    fn split_off_left(&self) -> Self {
        In { base: self.base.split_off_left(), here: self.here }
    }

    fn to_reducer(&self) -> Self::Reducer {
        In { base: self.base.to_reducer(), here: self.here }
    }
}

impl<T, R: Reducer<T>> Reducer<T> for In<'_, R> {
    fn reduce(self, left: T, right: T) -> T {
        self.here.run(|| self.base.reduce(left, right))
    }
}

/// What runs a piece of the work, on one thread.
struct Entered<P> {
    base: P,
    guard: ContextGuard,
}

impl<T, F: Folder<T>> Folder<T> for Entered<F> {
    type Result = F::Result;

    fn consume(self, item: T) -> Self {
        Entered { base: self.base.consume(item), guard: self.guard }
    }

    fn consume_iter<I: IntoIterator<Item = T>>(self, items: I) -> Self {
        Entered { base: self.base.consume_iter(items), guard: self.guard }
    }

    fn complete(self) -> F::Result {
        let Entered { base, guard: _entered } = self;
        base.complete()
    }

    fn full(&self) -> bool {
        self.base.full()
    }
}

impl<I: Iterator> Iterator for Entered<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.base.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.base.size_hint()
    }
}

impl<I: DoubleEndedIterator> DoubleEndedIterator for Entered<I> {
    fn next_back(&mut self) -> Option<I::Item> {
        self.base.next_back()
    }
}

impl<I: ExactSizeIterator> ExactSizeIterator for Entered<I> {}
