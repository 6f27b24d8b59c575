//! Every text of the pay page, in Chinese and English.
//!
//! Invariants
//! 1. Both languages have every text, with the same gaps to fill   (`tests::both_languages_have_every_text`).
//! 2. Every line of a price, and every channel, has its words   (exhaustive matches; a channel without any is called by its name).

use schema::{
    Currency, Money,
    gate::Colour,
    journal::{LineKind, QuoteLine, RefundState},
};
use serde::Serialize;

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Chinese as written on the mainland.
    Chinese,
    /// English.
    English,
}

/// The texts. What stands in braces is filled in.
#[derive(Debug, Serialize)]
pub struct Words {
    pub code: &'static str,
    pub other: &'static str,
    pub title: &'static str,
    pub lot: &'static str,
    // The form.
    pub plate: &'static str,
    pub province: &'static str,
    pub no_province: &'static str,
    pub plate_hint: &'static str,
    pub colour: &'static str,
    pub blue: &'static str,
    pub green: &'static str,
    pub yellow: &'static str,
    pub white: &'static str,
    pub black: &'static str,
    pub no_plate: &'static str,
    pub ticket: &'static str,
    pub ask: &'static str,
    // What becomes of a look-up.
    pub type_plate: &'static str,
    pub not_inside: &'static str,
    pub nothing_due: &'static str,
    pub ask_person: &'static str,
    pub not_in_time: &'static str,
    pub too_often: &'static str,
    pub away: &'static str,
    pub no_such_lot: &'static str,
    pub no_such_order: &'static str,
    pub back: &'static str,
    // The bill.
    pub bill: &'static str,
    pub car: &'static str,
    pub came: &'static str,
    pub until: &'static str,
    pub stayed: &'static str,
    pub duration: &'static str,
    pub due: &'static str,
    pub total: &'static str,
    pub owed: &'static str,
    pub leave_within: &'static str,
    pub at_exit: &'static str,
    pub number: &'static str,
    pub also_owed: &'static str,
    // The choice.
    pub choose: &'static str,
    pub no_channel: &'static str,
    pub pay_by: &'static str,
    pub use_points: &'static str,
    pub points_worth: &'static str,
    pub points_rest: &'static str,
    pub all_by_points: &'static str,
    pub not_a_sum: &'static str,
    pub points_too_many: &'static str,
    pub sum_differs: &'static str,
    pub too_many_tries: &'static str,
    pub choose_other: &'static str,
    // What goes on.
    pub one_moment: &'static str,
    pub opening: &'static str,
    pub deducting: &'static str,
    pub scan: &'static str,
    pub open_app: &'static str,
    pub pay_until: &'static str,
    pub points_held: &'static str,
    pub confirm_points: &'static str,
    pub pay_at_booth: &'static str,
    pub failed: &'static str,
    pub live: &'static str,
    // How it ends.
    pub paid: &'static str,
    pub thanks: &'static str,
    pub leave_by: &'static str,
    pub minutes_left: &'static str,
    pub barrier_opens: &'static str,
    pub settled: &'static str,
    pub free: &'static str,
    pub replaced: &'static str,
    pub to_new: &'static str,
    pub over: &'static str,
    pub look_again: &'static str,
    pub refund: &'static str,
    pub refund_under_way: &'static str,
    pub refund_done: &'static str,
    pub refund_person: &'static str,
    // The lines of a price.
    pub line_free: &'static str,
    pub line_step: &'static str,
    pub line_nth: &'static str,
    pub line_band: &'static str,
    pub line_flat: &'static str,
    pub line_flat_again: &'static str,
    pub line_tier: &'static str,
    pub line_tier_rest: &'static str,
    pub line_full_day: &'static str,
    pub line_cap: &'static str,
    pub line_band_cap: &'static str,
    pub line_stay_cap: &'static str,
    pub line_minimum: &'static str,
    pub line_least: &'static str,
    pub line_right: &'static str,
    pub line_coupon_free: &'static str,
    pub line_coupon_time: &'static str,
    pub line_coupon_percent: &'static str,
    pub line_coupon_amount: &'static str,
    pub line_coupon_over: &'static str,
    pub line_rounding: &'static str,
    pub line_grace: &'static str,
    pub line_paid: &'static str,
    pub line_lost_ticket: &'static str,
    // The channels.
    pub wechat: &'static str,
    pub alipay: &'static str,
    pub unionpay: &'static str,
    pub etc: &'static str,
    pub points: &'static str,
    pub cash: &'static str,
}

const CHINESE: Words = Words {
    code: "zh-CN",
    other: "English",
    title: "停车缴费",
    lot: "停车场 {lot}",
    plate: "车牌号",
    province: "省份",
    no_province: "无",
    plate_hint: "例如 B12345",
    colour: "车牌颜色",
    blue: "蓝牌",
    green: "绿牌",
    yellow: "黄牌",
    white: "白牌",
    black: "黑牌",
    no_plate: "没有车牌？使用停车票",
    ticket: "停车票编号",
    ask: "查询停车费",
    type_plate: "请输入车牌号或停车票编号。",
    not_inside: "本停车场内没有找到这辆车。请核对车牌号、省份和颜色。",
    nothing_due: "目前无需缴费，您可以直接离场。",
    ask_person: "暂时无法计算这次停车的费用，请联系现场工作人员。",
    not_in_time: "查询时间较长，请稍后再试。",
    too_often: "查询过于频繁，请稍等一分钟再试。",
    away: "系统暂时无法应答，请稍后再试，或到收费岗亭缴费。",
    no_such_lot: "没有这个停车场，请重新扫描现场的二维码。",
    no_such_order: "没有这个订单，请重新扫描现场的二维码。",
    back: "返回查询",
    bill: "停车账单",
    car: "车辆",
    came: "入场时间",
    until: "计费至",
    stayed: "停车时长",
    duration: "{hours} 小时 {minutes} 分钟",
    due: "应付金额",
    total: "合计",
    owed: "欠费金额",
    leave_within: "付款后请在 {minutes} 分钟内离场，无需另外付费。",
    at_exit: "付款后出口道闸会自动抬起。",
    number: "订单号",
    also_owed: "另有未缴的停车费",
    choose: "选择支付方式",
    no_channel: "本停车场没有开通网上支付，请到收费岗亭缴费。",
    pay_by: "{channel} {amount}",
    use_points: "使用积分抵扣",
    points_worth: "积分抵扣金额（元）",
    points_rest: "填写金额后选择上面的支付方式，其余部分由该方式支付。",
    all_by_points: "全部用积分支付",
    not_a_sum: "请输入金额，例如 2.50。",
    points_too_many: "抵扣金额不能超过应付的 {amount}。",
    sum_differs: "金额与应付金额不一致，没有付款。请重新选择。",
    too_many_tries: "这个订单的支付次数过多，请到收费岗亭缴费。",
    choose_other: "换一种支付方式",
    one_moment: "请稍候，正在准备账单……",
    opening: "正在打开{channel}……",
    deducting: "{channel}正在按车牌扣费，无需操作……",
    scan: "请用{channel}扫码支付",
    open_app: "打开{channel}",
    pay_until: "请在 {time} 前完成支付",
    points_held: "已保留积分 {amount}，完成其余支付后才会扣除。",
    confirm_points: "请在积分平台确认。",
    pay_at_booth: "请到收费岗亭支付现金 {amount}。",
    failed: "{channel}暂时无法使用，没有扣款。请选择其他支付方式。",
    live: "页面会自动更新",
    paid: "已付款",
    thanks: "谢谢！",
    leave_by: "请在 {time} 前离场",
    minutes_left: "还有 {minutes} 分钟",
    barrier_opens: "出口道闸正在抬起，请慢行离场。",
    settled: "欠费已结清。",
    free: "无需付费，祝您一路平安。",
    replaced: "这个价格已经失效，请按新的账单付款。",
    to_new: "查看新的账单",
    over: "这个订单已经结束，不能再付款。",
    look_again: "重新查询停车费",
    refund: "退款 {amount}（{channel}）",
    refund_under_way: "正在退回",
    refund_done: "已退回",
    refund_person: "由工作人员处理中",
    line_free: "免费时段",
    line_step: "{name}：{units} × {price}",
    line_nth: "第 {n} 段计时",
    line_band: "计时收费",
    line_flat: "{name}，一口价",
    line_flat_again: "{name}，已计费",
    line_tier: "{name}，共计 {price}",
    line_tier_rest: "{name}，共计 {price}，扣除已计部分",
    line_full_day: "整 24 小时：{units} × {price}",
    line_cap: "每日封顶 {price}",
    line_band_cap: "{name}封顶 {price}",
    line_stay_cap: "单次封顶 {price}",
    line_minimum: "最低收费 {price}",
    line_least: "{name}最低收费 {price}",
    line_right: "月卡等权益 {id}",
    line_coupon_free: "优惠 {id}{bearer}：全免",
    line_coupon_time: "优惠 {id}{bearer}：免 {units} 分钟",
    line_coupon_percent: "优惠 {id}{bearer}：减 {percent}%",
    line_coupon_amount: "优惠 {id}{bearer}：减 {price}",
    line_coupon_over: "{line}（超出当日可用次数，不抵扣）",
    line_rounding: "取整到 {price}",
    line_grace: "付款后的离场时间",
    line_paid: "之前已付 {price}",
    line_lost_ticket: "丢失停车票",
    wechat: "微信支付",
    alipay: "支付宝",
    unionpay: "云闪付",
    etc: "ETC",
    points: "积分",
    cash: "现金",
};

const ENGLISH: Words = Words {
    code: "en",
    other: "中文",
    title: "Pay for parking",
    lot: "Car park {lot}",
    plate: "Number plate",
    province: "Province",
    no_province: "none",
    plate_hint: "as B12345",
    colour: "Colour of the plate",
    blue: "Blue",
    green: "Green",
    yellow: "Yellow",
    white: "White",
    black: "Black",
    no_plate: "No plate? Use the ticket",
    ticket: "Number of the ticket",
    ask: "What does it cost?",
    type_plate: "Please type the number plate, or the number of the ticket.",
    not_inside: "This car was not found in this car park. Please check the plate, its province and its colour.",
    nothing_due: "There is nothing to pay now. You can leave.",
    ask_person: "What this stay costs cannot be said now. Please ask the staff here.",
    not_in_time: "This takes longer than usual. Please try again in a moment.",
    too_often: "That was asked too often. Please wait a minute and try again.",
    away: "The system cannot answer now. Please try again in a moment, or pay at the booth.",
    no_such_lot: "There is no such car park. Please scan the code on the spot again.",
    no_such_order: "There is no such order. Please scan the code on the spot again.",
    back: "Back",
    bill: "Parking bill",
    car: "Car",
    came: "Came in",
    until: "Counted until",
    stayed: "Time parked",
    duration: "{hours} h {minutes} min",
    due: "To pay",
    total: "Total",
    owed: "Owed",
    leave_within: "After paying you have {minutes} minutes to leave at no further price.",
    at_exit: "The barrier at the exit opens once it is paid.",
    number: "Order",
    also_owed: "Earlier stays that are not paid",
    choose: "How would you like to pay?",
    no_channel: "This car park takes no payment by phone. Please pay at the booth.",
    pay_by: "{channel} {amount}",
    use_points: "Use points",
    points_worth: "Amount to pay by points",
    points_rest: "Type the amount, then choose above by what the rest is paid.",
    all_by_points: "Pay all of it by points",
    not_a_sum: "Please type an amount, as 2.50.",
    points_too_many: "At most {amount} can be paid by points.",
    sum_differs: "The amounts do not add up to what is due, so nothing was paid. Please choose again.",
    too_many_tries: "This order was tried too many times. Please pay at the booth.",
    choose_other: "Pay another way",
    one_moment: "One moment: the bill is being prepared …",
    opening: "Opening {channel} …",
    deducting: "{channel} deducts the fee by your plate; there is nothing to do …",
    scan: "Scan with {channel} to pay",
    open_app: "Open {channel}",
    pay_until: "Please pay by {time}",
    points_held: "Points worth {amount} are held. They are taken once the rest is paid.",
    confirm_points: "Please confirm with the issuer of your points.",
    pay_at_booth: "Please pay {amount} in cash at the booth.",
    failed: "{channel} cannot be used now, and nothing was taken. Please choose another way.",
    live: "This page follows by itself",
    paid: "Paid",
    thanks: "Thank you!",
    leave_by: "Please leave by {time}",
    minutes_left: "{minutes} minutes left",
    barrier_opens: "The barrier is opening. Please leave slowly.",
    settled: "What was owed is settled.",
    free: "There is nothing to pay. Have a good journey.",
    replaced: "This price no longer stands. Please pay by the new bill.",
    to_new: "To the new bill",
    over: "This order has ended and cannot be paid any more.",
    look_again: "Ask for the price again",
    refund: "Refund of {amount} ({channel})",
    refund_under_way: "on its way back",
    refund_done: "is back",
    refund_person: "our staff look after it",
    line_free: "Free minutes",
    line_step: "{name}: {units} × {price}",
    line_nth: "Time parked, part {n}",
    line_band: "Time parked",
    line_flat: "{name}, flat",
    line_flat_again: "{name}, charged already",
    line_tier: "{name}, {price} in all",
    line_tier_rest: "{name}, {price} in all, less what was charged already",
    line_full_day: "Full 24 hours: {units} × {price}",
    line_cap: "A day costs at most {price}",
    line_band_cap: "{name} costs at most {price}",
    line_stay_cap: "A stay costs at most {price}",
    line_minimum: "A stay costs at least {price}",
    line_least: "{name} costs at least {price}",
    line_right: "Pass {id}",
    line_coupon_free: "Coupon {id}{bearer}: all free",
    line_coupon_time: "Coupon {id}{bearer}: {units} minutes free",
    line_coupon_percent: "Coupon {id}{bearer}: {percent} % off",
    line_coupon_amount: "Coupon {id}{bearer}: {price} off",
    line_coupon_over: "{line} (more than can be used in a day: nothing is taken off)",
    line_rounding: "Rounded to {price}",
    line_grace: "Minutes to leave after paying",
    line_paid: "Paid before: {price}",
    line_lost_ticket: "Lost ticket",
    wechat: "WeChat Pay",
    alipay: "Alipay",
    unionpay: "UnionPay",
    etc: "ETC",
    points: "Points",
    cash: "Cash",
};

impl Language {
    /// Its texts.
    pub const fn words(self) -> &'static Words {
        match self {
            Self::Chinese => &CHINESE,
            Self::English => &ENGLISH,
        }
    }

    /// Its code in an address.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Chinese => "zh",
            Self::English => "en",
        }
    }

    /// The one to switch to.
    pub const fn other(self) -> Self {
        match self {
            Self::Chinese => Self::English,
            Self::English => Self::Chinese,
        }
    }

    /// What somebody wants: what was switched to, else what the browser prefers, else Chinese.
    pub fn wanted(switched: Option<&str>, accepts: Option<&str>) -> Self {
        let of = |tag: &str| match tag.split(['-', '_']).next().unwrap_or_default().trim() {
            tag if tag.eq_ignore_ascii_case("zh") => Some(Self::Chinese),
            tag if tag.eq_ignore_ascii_case("en") => Some(Self::English),
            _ => None,
        };
        if let Some(language) = switched.and_then(of) {
            return language;
        }
        // In the order of their weights (RFC 9110, 12.5.4); among equals the first.
        let mut best: Option<(u16, Self)> = None;
        for range in accepts.unwrap_or_default().split(',') {
            let mut parts = range.split(';');
            let Some(language) = of(parts.next().unwrap_or_default()) else { continue };
            let weight = parts.find_map(|part| part.trim().strip_prefix("q=")).map_or(Some(1_000), thousandths).unwrap_or(0);
            if weight > best.map_or(0, |(best, _)| best) {
                best = Some((weight, language));
            }
        }
        best.map_or(Self::Chinese, |(_, language)| language)
    }
}

/// A weight of `0` to `1` with up to three decimals, in thousandths.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.trim().split_once('.').unwrap_or((weight.trim(), ""));
    let decimals: u16 = format!("{decimals:0<3}").get(..3)?.parse().ok()?;
    whole.parse::<u16>().ok()?.checked_mul(1_000)?.checked_add(decimals)
}

/// A text with its gaps filled.
pub fn fill(text: &str, gaps: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    // What is filled in is not looked through for gaps again.
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((name, behind)) = behind.split_once('}') else { break };
        filled.push_str(before);
        filled.push_str(gaps.iter().find(|(gap, _)| *gap == name).map_or("", |(_, value)| value));
        rest = behind;
    }
    filled + rest
}

/// An amount as a driver reads it.
pub fn money(amount: Money) -> String {
    match amount.currency {
        Currency::Cny if amount.minor < 0 => format!("−¥{}", Money::new(amount.minor.saturating_neg(), amount.currency).number()),
        Currency::Cny => format!("¥{}", amount.number()),
        Currency::Jpy | Currency::Aud | Currency::Usd | Currency::Eur => {
            format!("{} {}", amount.number(), format!("{:?}", amount.currency).to_uppercase())
        }
    }
}

impl Words {
    /// A channel's name.
    pub fn channel<'a>(&'a self, name: &'a str) -> &'a str {
        match name {
            "wechat" => self.wechat,
            "alipay" => self.alipay,
            "unionpay" => self.unionpay,
            "etc" => self.etc,
            "points" => self.points,
            "cash" => self.cash,
            name => name,
        }
    }

    /// A colour's name.
    pub const fn colour_of(&self, colour: Colour) -> &'static str {
        match colour {
            Colour::Blue => self.blue,
            Colour::Green => self.green,
            Colour::Yellow => self.yellow,
            Colour::White => self.white,
            Colour::Black => self.black,
        }
    }

    /// How a refund stands.
    pub const fn refund_state(&self, state: RefundState) -> &'static str {
        match state {
            RefundState::Succeeded => self.refund_done,
            RefundState::Abnormal | RefundState::Failed => self.refund_person,
            RefundState::Requested | RefundState::Accepted | RefundState::Unknown | RefundState::Refused => self.refund_under_way,
        }
    }

    /// Why a line of a price is there.
    pub fn line(&self, line: &QuoteLine, currency: Currency) -> String {
        let price = money(Money::new(line.unit_price, currency));
        let (units, percent) = (line.units.to_string(), line.unit_price.to_string());
        // What the short form of a rate table names by itself is said in words.
        let nth = line.rate_line.as_deref().and_then(|name| name.strip_prefix("step ")).map(|n| fill(self.line_nth, &[("n", n)]));
        let name = nth.as_deref().or(line.rate_line.as_deref()).filter(|name| !name.is_empty()).unwrap_or(self.line_band);
        let id = line.due_to.as_deref().unwrap_or_default();
        let bearer = line.bearer.as_deref().map(|bearer| format!(" {bearer}")).unwrap_or_default();
        let text = match line.what {
            LineKind::Free => self.line_free,
            LineKind::Step => self.line_step,
            LineKind::Flat if line.units == 0 => self.line_flat_again,
            LineKind::Flat => self.line_flat,
            LineKind::Tier if line.units > 1 => self.line_step,
            LineKind::Tier if line.units == 0 && line.amount == 0 => self.line_flat_again,
            LineKind::Tier if line.units == 0 => self.line_tier_rest,
            LineKind::Tier => self.line_tier,
            LineKind::FullDay => self.line_full_day,
            LineKind::Cap => self.line_cap,
            LineKind::BandCap | LineKind::LineCap => self.line_band_cap,
            LineKind::StayCap => self.line_stay_cap,
            LineKind::Minimum => self.line_minimum,
            LineKind::LineMinimum => self.line_least,
            LineKind::Right => self.line_right,
            LineKind::ValidationFree => self.line_coupon_free,
            LineKind::ValidationTime => self.line_coupon_time,
            LineKind::ValidationPercent => self.line_coupon_percent,
            LineKind::ValidationAmount => self.line_coupon_amount,
            LineKind::Rounding => self.line_rounding,
            LineKind::Grace => self.line_grace,
            LineKind::Paid => self.line_paid,
            LineKind::LostTicket => self.line_lost_ticket,
        };
        let said = fill(text, &[("name", name), ("units", &units), ("price", &price), ("percent", &percent), ("id", id), ("bearer", &bearer)]);
        if line.over { fill(self.line_coupon_over, &[("line", &said)]) } else { said }
    }
}

#[cfg(test)]
mod tests;
