//! The lines of a quote while it is made.
//!
//! Invariants
//! 1. Whatever is added to the total is a line   (`tests::laws::the_lines_sum_to_the_total`).
//! 2. However long a stay is, its quote fits a message   (`tests::ten_years_have_a_price_that_fits_a_message`).

use schema::journal::QuoteLine;
use std::sync::Arc;

/// From so many lines on, a line that repeats an earlier one of the same rate line is added to that.
const COUNT_MAX: usize = 256;

/// Lines and what they sum to.
pub(super) struct Lines {
    /// The lines; empty where only the total is wanted.
    pub list: Vec<QuoteLine>,
    /// The total.
    pub total: i64,
    is_kept: bool,
}

impl Lines {
    /// Where lines are kept.
    pub fn kept() -> Self {
        Self { list: Vec::with_capacity(16), total: 0, is_kept: true }
    }

    /// Where only the total is wanted.
    pub const fn total_alone() -> Self {
        Self { list: Vec::new(), total: 0, is_kept: false }
    }

    /// Adds a line, to the one before where it goes on with that.
    pub fn push(&mut self, line: QuoteLine) {
        self.total = self.total.saturating_add(line.amount);
        if !self.is_kept {
            return;
        }
        let is_full = self.list.len() >= COUNT_MAX;
        let goes_on = |earlier: &&mut QuoteLine| {
            earlier.what == line.what
                && earlier.unit_price == line.unit_price
                && (is_full || earlier.to_min == line.from_min && earlier.units > 0)
                && same(earlier.rate_line.as_ref(), line.rate_line.as_ref())
                && same(earlier.due_to.as_ref(), line.due_to.as_ref())
        };
        let reach = if is_full { COUNT_MAX } else { 1 };
        match self.list.iter_mut().rev().take(reach).find(goes_on) {
            Some(earlier) => {
                earlier.to_min = line.to_min;
                earlier.units = earlier.units.saturating_add(line.units);
                earlier.amount = earlier.amount.saturating_add(line.amount);
            }
            None => self.list.push(line),
        }
    }
}

fn same(one: Option<&Arc<str>>, other: Option<&Arc<str>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one == other,
        (None, None) => true,
        _ => false,
    }
}
