//! Every route of the operator API, with who may use it: what is served, what is refused and what the document says are read from here.
//!
//! Invariants
//! 1. There is no other route   (`super::Api::router` is made of this table).
//! 2. Who may do what is as this table says   (`tests::roles_are_as_the_table_says`).

use crate::tokens::Role;

/// Where all of it lies.
pub const BASE: &str = "/api/v1";

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its path below [`BASE`], with parameters in braces.
    pub path: &'static str,
    /// What it does.
    pub does: Does,
    /// Who may use it.
    pub roles: &'static [Role],
    /// What it is for, in a sentence.
    pub summary: &'static str,
    /// The schema of its answer, among the components of the document.
    pub gives: &'static str,
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// It shows something (GET).
    Reads(Read),
    /// It says something at a desk (POST).
    Says(Write),
}

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A bill.
    Order,
    /// The bills of a lot and day.
    Orders,
    /// The money of an order.
    Payment,
    /// What became of that, event by event.
    History,
    /// A stay.
    Session,
    /// Refunds that wait for something.
    Refunds,
    /// A cashier's shift.
    Shift,
    /// What does not match a statement.
    Exception,
    /// All of that which is open, or of a day.
    Exceptions,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Money is to go back.
    Refund,
    /// Another person agrees to that.
    Approval,
    /// Another person does not.
    Declined,
    /// A person has found out how a refund stands.
    Settled,
    /// Cash was taken.
    Cash,
    /// A shift begins.
    ShiftOpened,
    /// A drawer is counted.
    ShiftCounted,
    /// A shift ends.
    ShiftClosed,
    /// A stay is put right.
    Correction,
    /// A ticket is lost.
    LostTicket,
    /// A car was let through.
    LetThrough,
    /// A merchant takes something off.
    Validation,
    /// A car was found, or missed.
    Stock,
    /// Something is known of vehicles.
    Statement,
    /// Somebody looks after an exception.
    ExceptionAssigned,
    /// Its channel is asked.
    ExceptionRequeried,
    /// What is lacking goes in.
    ExceptionRepaired,
    /// What is too much goes back.
    ExceptionRefunded,
    /// It is let be.
    ExceptionWrittenOff,
    /// Another person agrees to that.
    ExceptionApproved,
}

use Role::{Admin, Cashier, Finance, Viewer};

const ALL: &[Role] = &[Viewer, Cashier, Finance, Admin];
const BOOTH: &[Role] = &[Cashier, Admin];
const MONEY: &[Role] = &[Finance, Admin];
const OFFICE: &[Role] = &[Admin];

const fn reads(path: &'static str, read: Read, gives: &'static str, summary: &'static str) -> Route {
    Route { path, does: Does::Reads(read), roles: ALL, summary, gives }
}

const fn says(path: &'static str, write: Write, roles: &'static [Role], summary: &'static str) -> Route {
    Route { path, does: Does::Says(write), roles, summary, gives: "Decision" }
}

/// All of them.
pub const ROUTES: [Route; 29] = [
    reads("/orders/{order}", Read::Order, "Order", "A bill as it is now."),
    reads("/orders", Read::Orders, "Orders", "The bills of a lot that were born on a local day, by id; a second behind at most."),
    reads(
        "/payments/{order}",
        Read::Payment,
        "Payment",
        "The money of an order as it is now: receipts, attempts, refunds, and what persons want to go back.",
    ),
    reads(
        "/payments/{order}/history",
        Read::History,
        "History",
        "What became of an order's money, event by event, as far back as the journal reaches.",
    ),
    reads("/sessions/{session}", Read::Session, "Session", "A stay as it is now."),
    reads("/refunds", Read::Refunds, "Refunds", "Refunds that wait: for a person (`stuck`), for a second one (`wanted`), or for anything (`open`)."),
    reads("/shifts/{lot}/{shift}", Read::Shift, "Shift", "A cashier's shift as it is now."),
    reads("/exceptions/{exception}", Read::Exception, "Exception", "What does not match a channel's statement, with all that happened to it."),
    reads(
        "/exceptions",
        Read::Exceptions,
        "Exceptions",
        "What does not match channels' statements and is open, partition by partition, the oldest first; a second behind at most.",
    ),
    says(
        "/orders/{order}/refunds",
        Write::Refund,
        MONEY,
        "Money that pays an order goes back: all of it, an amount shared over its means, or of one transaction.",
    ),
    says("/refunds/approvals", Write::Approval, MONEY, "Another person agrees to a refund above the limit."),
    says("/refunds/declined", Write::Declined, MONEY, "Another person does not agree to a refund above the limit: it is wanted no more."),
    says("/refunds/{refund}/settled", Write::Settled, MONEY, "A person has found out how a refund stands that its channel could not make."),
    says("/orders/{order}/cash", Write::Cash, BOOTH, "A shift took cash for an order."),
    says("/shifts/{lot}/{shift}/opened", Write::ShiftOpened, BOOTH, "A shift begins, with so much in its drawer."),
    says("/shifts/{lot}/{shift}/counted", Write::ShiftCounted, BOOTH, "A drawer was counted."),
    says("/shifts/{lot}/{shift}/closed", Write::ShiftClosed, BOOTH, "A shift ends with its difference."),
    says("/lots/{lot}/corrections", Write::Correction, BOOTH, "A plate or an arrival is put right; of a stay that is over, an admin does it."),
    says("/lots/{lot}/lost-tickets", Write::LostTicket, BOOTH, "Nobody knows when a car came that waits at an exit."),
    says("/lots/{lot}/let-through", Write::LetThrough, BOOTH, "A person let a car through, or saw that it passed."),
    says("/lots/{lot}/validations", Write::Validation, OFFICE, "A merchant takes something off a stay."),
    says("/lots/{lot}/stock", Write::Stock, OFFICE, "A car was found inside, or was not, when the lot was looked through."),
    says("/exceptions/{exception}/owner", Write::ExceptionAssigned, MONEY, "Somebody looks after an exception from now on."),
    says(
        "/exceptions/{exception}/requery",
        Write::ExceptionRequeried,
        MONEY,
        "The channel is asked how its payment stands; the answer comes in like every notification.",
    ),
    says("/exceptions/{exception}/repair", Write::ExceptionRepaired, MONEY, "What we lack goes in as if the channel had said it."),
    says(
        "/exceptions/{exception}/refund",
        Write::ExceptionRefunded,
        MONEY,
        "What the channel has too much is booked. It goes back by itself where it pays no order; where it pays one, ask for a refund of that then.",
    ),
    says("/exceptions/{exception}/write-off", Write::ExceptionWrittenOff, MONEY, "It is let be; above a limit another person must agree."),
    says("/exceptions/{exception}/approval", Write::ExceptionApproved, MONEY, "Another person agrees that it is written off."),
    says("/lots/{lot}/statements", Write::Statement, OFFICE, "A right, a ban or a reservation is in force from now on, or no more."),
];

impl Route {
    /// The HTTP method.
    pub const fn method(&self) -> &'static str {
        match self.does {
            Does::Reads(_) => "GET",
            Does::Says(_) => "POST",
        }
    }

    /// Its name, as counters and the document have it.
    pub fn name(&self) -> String {
        match self.does {
            Does::Reads(read) => format!("{read:?}"),
            Does::Says(write) => format!("{write:?}"),
        }
    }
}

impl Write {
    /// The schema of its body, among the components of the document.
    pub const fn takes(self) -> &'static str {
        match self {
            Self::Refund => "RefundWish",
            Self::Approval => "Approval",
            Self::Declined => "Declined",
            Self::Settled => "SettledByHand",
            Self::Cash => "Cash",
            Self::ShiftOpened => "ShiftOpened",
            Self::ShiftCounted => "ShiftCounted",
            Self::Correction => "Correction",
            Self::LostTicket => "LostTicket",
            Self::LetThrough => "LetThrough",
            Self::Validation => "ValidationGiven",
            Self::Stock => "Stock",
            Self::Statement => "Statement",
            Self::ExceptionAssigned => "Owner",
            Self::ExceptionApproved => "WriteOffApproval",
            Self::ShiftClosed | Self::ExceptionRequeried | Self::ExceptionRepaired | Self::ExceptionRefunded | Self::ExceptionWrittenOff => "Reason",
        }
    }
}
