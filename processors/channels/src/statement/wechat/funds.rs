//! WeChat Pay's fund-flow bill ("资金账单"). It names no order, so nothing is matched with it; but what is wrong with one is said before that.

use super::{
    super::{
        Chunk, Line, Reason, Refusal, Rest, Rows, Sums, Verified, cell,
        table::{self, Head},
    },
    Said, Summary,
};

/// The summary's count.
pub const COUNT: &str = "资金流水总笔数";

const CAME: [usize; 2] = [0, 1];
const WENT: [usize; 2] = [2, 3];

/// A fund-flow bill whose columns are known.
pub struct Funds {
    head: Head,
    way: usize,
    amount: usize,
}

impl Funds {
    pub fn new(head: Head) -> Result<Self, Refusal> {
        Ok(Self { way: head.need(&["收支类型"])?, amount: head.need(&["收支金额(元)"])?, head })
    }
}

impl Rows for Funds {
    fn read(&self, chunk: Chunk<'_>, _: &mut dyn FnMut(&Line<'_>)) -> Result<Rest, Refusal> {
        let mut sums = Sums::default();
        let from = table::rows(table::Form::Backticks, chunk, self.head.len(), |row| {
            let refused = |column, reason| Refusal::at(row.line, self.head.name(column), reason);
            let way = row.cell(self.way);
            let [count, sum] = match std::str::from_utf8(way) {
                Ok("收入") => CAME,
                Ok("支出") => WENT,
                _ => return Err(refused(self.way, Reason::Word(cell::text(way)))),
            };
            sums.of[count] += 1;
            sums.of[sum] += i128::from(cell::fen(row.cell(self.amount)).map_err(|reason| refused(self.amount, reason))?);
            sums.rows += 1;
            Ok(())
        })?;
        Ok(Rest { sums, from })
    }

    fn end(&self, rest: Chunk<'_>, sums: &Sums) -> Result<Verified, Refusal> {
        Summary::read(rest)?.check(|name, value| {
            let count = |found: i128| {
                let said = cell::count(value).ok_or_else(|| Reason::Amount(cell::text(value)))?;
                Ok(Some(Said::Count(said, u64::try_from(found).unwrap_or(u64::MAX))))
            };
            let sum = |found: i128| Ok(Some(Said::Sum(cell::amount(value, 2)?, found, 2)));
            match name {
                COUNT => count(i128::from(sums.rows)),
                "收入笔数" => count(sums.of[CAME[0]]),
                "收入金额" => sum(sums.of[CAME[1]]),
                "支出笔数" => count(sums.of[WENT[0]]),
                "支出金额" => sum(sums.of[WENT[1]]),
                _ => Ok(None),
            }
        })?;
        Err(Refusal::whole(Reason::OtherKind("a fund-flow bill, which names no order: give the trade bill of the day")))
    }
}
