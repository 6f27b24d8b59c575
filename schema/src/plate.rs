//! Licence plates: what kind a text is, how two devices say the same one, and which one a misread one may be.
//!
//! Invariants
//! 1. A plate never fails because of its format: what nobody knows is [`Format::Unknown`]   (`tests::any_text_has_a_format`).
//! 2. Two devices say the same plate the same way   (`tests::devices_that_write_differently_mean_the_same_plate`,
//!    `tests::an_identity_is_its_own_identity`).
//! 3. The nearest candidate comes first, and the likelier time among equals   (`tests::candidates_come_by_distance_and_time`).
//!
//! Not here: which candidate it was. A person chooses.

use crate::{
    Credential, Energy, Moment,
    gate::{Colour, CredentialKind},
    id::Province,
};

/// The provinces' characters with their GB/T 2260 codes.
const PROVINCES: [(char, u8); 31] = [
    ('京', 11),
    ('津', 12),
    ('冀', 13),
    ('晋', 14),
    ('蒙', 15),
    ('辽', 21),
    ('吉', 22),
    ('黑', 23),
    ('沪', 31),
    ('苏', 32),
    ('浙', 33),
    ('皖', 34),
    ('闽', 35),
    ('赣', 36),
    ('鲁', 37),
    ('豫', 41),
    ('鄂', 42),
    ('湘', 43),
    ('粤', 44),
    ('桂', 45),
    ('琼', 46),
    ('渝', 50),
    ('川', 51),
    ('贵', 52),
    ('云', 53),
    ('藏', 54),
    ('陕', 61),
    ('甘', 62),
    ('青', 63),
    ('宁', 64),
    ('新', 65),
];

/// The formats of plates. Army, armed police and emergency plates have no published grammar and are unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// Province, letter, five of letters and digits.
    Ordinary,
    /// New energy, small: a letter of A-H, J, K in third place, the last four are digits; 8 in all.
    NewEnergySmall,
    /// New energy, large: five digits, then that letter; 8 in all.
    NewEnergyLarge,
    /// 挂: a trailer.
    Trailer,
    /// 学: a driving school.
    Learner,
    /// 警: the police.
    Police,
    /// 粤Z … 港.
    HongKong,
    /// 粤Z … 澳.
    Macau,
    /// Six digits, 使.
    Embassy,
    /// Province, letter, four digits, 领; or province, five digits, 领.
    Consulate,
    /// Anything else.
    Unknown,
}

impl Format {
    /// The format of a text that [`normalise`] gave.
    pub fn of(text: &str) -> Self {
        let mut room = ['\0'; 8];
        let mut length = 0_usize;
        for character in text.chars() {
            let Some(place) = room.get_mut(length) else { return Self::Unknown };
            *place = character;
            length = length.saturating_add(1);
        }
        Self::of_characters(room.get(..length).unwrap_or_default())
    }

    fn of_characters(text: &[char]) -> Self {
        let digits = |part: &[char]| part.iter().all(char::is_ascii_digit);
        let serial = |part: &[char]| part.iter().all(|&c| is_serial(c));
        match text {
            [digits6 @ .., '使'] if digits6.len() == 6 && digits(digits6) => Self::Embassy,
            ['粤', 'Z', serial4 @ .., '港'] if serial4.len() == 4 && serial(serial4) => Self::HongKong,
            ['粤', 'Z', serial4 @ .., '澳'] if serial4.len() == 4 && serial(serial4) => Self::Macau,
            [province, digits5 @ .., '领'] if is_province(*province) && digits5.len() == 5 && digits(digits5) => Self::Consulate,
            [province, letter, rest @ ..] if is_province(*province) && letter.is_ascii_uppercase() => match rest {
                [digits4 @ .., '领'] if digits4.len() == 4 && digits(digits4) => Self::Consulate,
                // Police plates have letters that others do not: 京O is one of them.
                [serial4 @ .., '警'] if serial4.len() == 4 && serial(serial4) => Self::Police,
                _ if !is_letter(*letter) => Self::Unknown,
                [serial4 @ .., '挂'] if serial4.len() == 4 && serial(serial4) => Self::Trailer,
                [serial4 @ .., '学'] if serial4.len() == 4 && serial(serial4) => Self::Learner,
                [energy, second, digits4 @ ..] if digits4.len() == 4 && is_energy(*energy) && is_serial(*second) && digits(digits4) => {
                    Self::NewEnergySmall
                }
                [digits5 @ .., energy] if digits5.len() == 5 && digits(digits5) && is_energy(*energy) => Self::NewEnergyLarge,
                serial5 if serial5.len() == 5 && serial(serial5) => Self::Ordinary,
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }

    /// The colour class that all plates of this format have; none where there are several.
    pub const fn colour(self) -> Option<Colour> {
        match self {
            Self::NewEnergySmall | Self::NewEnergyLarge => Some(Colour::Green),
            Self::Trailer | Self::Learner => Some(Colour::Yellow),
            Self::Police => Some(Colour::White),
            Self::HongKong | Self::Macau | Self::Embassy | Self::Consulate => Some(Colour::Black),
            Self::Ordinary | Self::Unknown => None,
        }
    }
}

/// A plate as every device says it: capital letters of ASCII, without blanks, dots and hyphens. What has nothing else in it stays as it is.
pub fn normalise(text: &str) -> String {
    let plain: String = text.chars().map(narrow).filter(|&c| !is_filler(c)).map(|c| c.to_ascii_uppercase()).collect();
    if plain.is_empty() { text.to_owned() } else { plain }
}

/// Where a plate was registered, by its first character; none for embassies and unknown ones.
pub fn province(text: &str) -> Option<Province> {
    let first = text.chars().next()?;
    PROVINCES.iter().find(|(character, _)| *character == first).map(|(_, code)| Province(*code))
}

/// The provinces' characters, as plates begin with them, with their codes.
pub fn provinces() -> impl Iterator<Item = (char, Province)> {
    PROVINCES.iter().map(|(character, code)| (*character, Province(*code)))
}

/// The colour class of a word that a vendor's device or channel uses: English in any case, or Chinese.
pub fn colour(word: &str) -> Option<Colour> {
    let word = word.trim();
    let is = |words: &[&str]| words.iter().any(|other| other.eq_ignore_ascii_case(word));
    match () {
        () if is(&["blue", "蓝", "蓝色"]) => Some(Colour::Blue),
        // Large new-energy plates fade from yellow to green: no text exists in both greens, so they are one class.
        () if is(&["green", "limegreen", "yellow_green", "绿", "绿色", "黄绿", "黄绿色", "渐变绿"]) => Some(Colour::Green),
        () if is(&["yellow", "黄", "黄色"]) => Some(Colour::Yellow),
        () if is(&["white", "白", "白色"]) => Some(Colour::White),
        () if is(&["black", "黑", "黑色"]) => Some(Colour::Black),
        () => None,
    }
}

impl Credential {
    /// The same for the same car, whichever device read it: a plate normalised, in the colour class of its format where that has one.
    /// Other credentials are what they are.
    #[must_use]
    pub fn identity(self) -> Self {
        match self.kind {
            CredentialKind::Plate => {
                let plain = normalise(&self.text);
                let colour = Format::of(&plain).colour().or(self.colour);
                let text = if *plain == *self.text { self.text } else { plain.into() };
                Self { kind: CredentialKind::Plate, text, colour }
            }
            CredentialKind::Tag | CredentialKind::Ticket => self,
        }
    }

    /// What drives a car, as far as its plate tells.
    pub fn energy(&self) -> Option<Energy> {
        match (self.kind, Format::of(&self.text), self.colour) {
            (CredentialKind::Plate, Format::NewEnergySmall | Format::NewEnergyLarge, _) | (CredentialKind::Plate, _, Some(Colour::Green)) => {
                Some(Energy::New)
            }
            (CredentialKind::Plate, Format::Ordinary, Some(Colour::Blue | Colour::Yellow)) => Some(Energy::Fuel),
            (CredentialKind::Plate | CredentialKind::Tag | CredentialKind::Ticket, _, _) => None,
        }
    }
}

/// A car that a misread plate may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<T> {
    /// Which one.
    pub what: T,
    /// How far its plate is from what was read: 0 is the same, 1 a confusable character or the colour, 3 any other character.
    pub distance: u32,
    /// When it came.
    pub entered_at: Moment,
}

/// A plate further away than this is another plate: two characters that nobody confuses.
pub const DISTANCE_MAX: u32 = 6;

/// The cars that a plate read at `seen_at` may be, at most `count_max`: the nearest plate first, and among equals who came last.
pub fn candidates<'a, T>(
    read: &Credential,
    seen_at: Moment,
    among: impl IntoIterator<Item = (&'a Credential, Moment, T)>,
    count_max: usize,
) -> Vec<Candidate<T>> {
    let read_text: Vec<char> = read.text.chars().collect();
    let mut found: Vec<Candidate<T>> = among
        .into_iter()
        .filter(|(credential, entered_at, _)| credential.kind == CredentialKind::Plate && *entered_at <= seen_at)
        .filter_map(|(credential, entered_at, what)| {
            let repainted = read.colour.zip(credential.colour).is_some_and(|(one, other)| one != other);
            let distance = distance(&read_text, &credential.text).saturating_add(u32::from(repainted));
            (distance <= DISTANCE_MAX).then_some(Candidate { what, distance, entered_at })
        })
        .collect();
    found.sort_by_key(|candidate| (candidate.distance, std::cmp::Reverse(candidate.entered_at)));
    found.truncate(count_max);
    found
}

/// Characters that cameras take for one another; a character is in as many groups as it resembles.
const CONFUSABLE: [&str; 14] = ["0ODQC", "1ILT7", "8B3", "2Z", "5S", "6G", "CG", "4A", "UVY", "MNH", "EF", "PR", "KX", "6B8"];

/// The cost of a character that was missed or seen where there is none, and of one that resembles nothing.
const OTHER: u32 = 3;

fn exchange(one: char, other: char) -> u32 {
    let confusable = |group: &&str| group.contains(one) && group.contains(other);
    match (one == other, is_province(one) && is_province(other), CONFUSABLE.iter().any(confusable)) {
        (true, _, _) => 0,
        (false, false, true) => 1,
        // Provinces are small on the plate, and cameras guess them: nearer than another number, further than a confusable one.
        (false, true, _) => 2,
        (false, false, false) => OTHER,
    }
}

/// The edit distance with the costs above.
fn distance(read: &[char], text: &str) -> u32 {
    let mut row: Vec<u32> = (0..=read.len()).map(|skipped| u32::try_from(skipped).unwrap_or(u32::MAX).saturating_mul(OTHER)).collect();
    for character in text.chars() {
        let mut diagonal = row.first().copied().unwrap_or_default();
        let mut left = diagonal.saturating_add(OTHER);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (above, &seen) in row.iter_mut().skip(1).zip(read) {
            let best = diagonal.saturating_add(exchange(seen, character)).min(above.saturating_add(OTHER)).min(left.saturating_add(OTHER));
            diagonal = *above;
            *above = best;
            left = best;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A full-width form as its plain one.
fn narrow(character: char) -> char {
    match character {
        '\u{ff01}'..='\u{ff5e}' => u32::from(character).checked_sub(0xfee0).and_then(char::from_u32).unwrap_or(character),
        _ => character,
    }
}

/// What devices print between the characters of a plate: blanks, dots and hyphens of all widths.
fn is_filler(character: char) -> bool {
    character.is_whitespace() || character.is_control() || ".-_·•・･‧∙⋅●﹒‐‑–—\u{200b}\u{feff}".contains(character)
}

fn is_province(character: char) -> bool {
    PROVINCES.iter().any(|(province, _)| *province == character)
}

const fn is_letter(character: char) -> bool {
    character.is_ascii_uppercase() && character != 'I' && character != 'O'
}

const fn is_serial(character: char) -> bool {
    is_letter(character) || character.is_ascii_digit()
}

const fn is_energy(character: char) -> bool {
    matches!(character, 'A'..='H' | 'J' | 'K')
}

#[cfg(test)]
mod tests;
