//! A finished transaction on its way to the flusher, which makes an envelope of it.
//!
//! Invariant: a parcel is handed to the transport, or its drop counts it lost, wherever that happens: in the channel of a
//! flusher that has ended, for example.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "lengths of what is in memory; and of the children some are written, not more"
)]

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::time::SystemTime;

use super::envelope;
use super::facts::Facts;
use super::transaction::Child;
use crate::client::{Core, Load, LossReason, Report, Settings};
use crate::clock::UnixNanos;
use crate::flusher::Command;
use crate::protocol::{Envelope, write_report};
use crate::segment::Segment;
use crate::transport::{Outgoing, Sender};

/// A transaction that has finished.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) segment: Arc<Segment>,
    pub(super) start: UnixNanos,
    pub(super) end: UnixNanos,
    pub(super) facts: Facts,
    pub(super) children: Vec<Child>,
}

#[derive(Debug)]
pub(crate) struct Parcel {
    finished: Finished,
    /// Nothing once it was counted.
    load: Load,
    /// Bytes that the budget was charged.
    charged: usize,
    number: u64,
}

impl Parcel {
    pub(super) fn new(finished: Finished, load: Load) -> Self {
        Parcel { finished, load, charged: 0, number: 0 }
    }

    /// Gives it to the flusher, if the byte bound has room for it.
    pub(super) fn hand_over(mut self, core: &Core) {
        let Finished { facts, children, .. } = &self.finished;
        let bytes = facts.size() + children.iter().map(|child| child.facts.size()).sum::<usize>();
        if !core.budget.try_take(bytes) {
            self.lose(LossReason::QueueOverflow);
            return;
        }
        self.charged = bytes;
        // If the flusher has ended, the parcel comes back and is dropped here.
        let _ = core.control.send(Command::Parcel(Box::new(self)));
        core.doorbell.ring();
    }

    fn lose(&mut self, reason: LossReason) {
        self.finished.segment.core.count_lost(reason, mem::take(&mut self.load));
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        let core = &self.finished.segment.core;
        core.budget.give_back(self.charged);
        core.count_lost(LossReason::InternalSdkError, self.load);
    }
}

/// Parcels that wait until the transport's queue has room.
#[derive(Debug, Default)]
pub(crate) struct Parcels(VecDeque<Parcel>);

impl Parcels {
    /// Takes one; where the byte bound is close, the oldest go. (behaviour 45)
    pub(crate) fn push(&mut self, mut parcel: Parcel, number: u64) {
        parcel.number = number;
        self.0.push_back(parcel);
        while self.0.front().is_some_and(|oldest| oldest.finished.segment.core.budget.is_over()) {
            if let Some(mut oldest) = self.0.pop_front() {
                oldest.lose(LossReason::BufferOverflow);
            }
        }
    }

    /// The number of the one that has waited longest.
    pub(crate) fn first(&self) -> Option<u64> {
        self.0.front().map(|parcel| parcel.number)
    }

    /// Makes an envelope of the one that has waited longest, with a report if there is one to take along, and hands it to the
    /// transport.
    pub(crate) fn send_first(&mut self, settings: &Settings, report: Option<Report>, transport: &Sender) {
        let Some(mut parcel) = self.0.pop_front() else { return };
        let now = UnixNanos::of(SystemTime::now());
        let (mut bytes, children) = envelope::write(&parcel.finished, settings, now);
        let too_many = parcel.finished.children.len() - children;
        parcel.finished.segment.core.losses.add(LossReason::BufferOverflow, too_many as u64);
        parcel.load.spans -= too_many as u64;
        if let Some(report) = &report {
            bytes.extend_from_slice(&write_report(report, now));
        }
        let load = mem::take(&mut parcel.load);
        transport.submit(Outgoing { envelope: Envelope::new(bytes), load, report, number: parcel.number });
    }

    /// Gives all of them up.
    pub(crate) fn lose_all(&mut self, reason: LossReason) {
        for mut parcel in self.0.drain(..) {
            parcel.lose(reason);
        }
    }
}
