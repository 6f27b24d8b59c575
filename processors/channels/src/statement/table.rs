//! Columns by name, and the cells of each row, without allocation.
//!
//! Invariants
//! 1. Every cell of every row is found, wherever separators are   (`tests::cells_are_what_lies_between`).
//! 2. A row has as many cells as there are columns, or it is refused   (`tests::a_row_has_as_many_cells_as_columns`).

use super::{Chunk, Reason, Refusal};
use memchr::memchr2_iter;

/// How many columns a file may have.
pub const COLUMNS: usize = 64;

/// The names of columns, as the first line of a table gives them.
#[derive(Clone, Debug, Default)]
pub struct Head {
    line: u32,
    names: Vec<String>,
}

impl Head {
    /// Of a line.
    pub fn new(text: &str, line: u32) -> Result<Self, Refusal> {
        let names: Vec<String> = text.trim_end_matches(['\r', '\n']).split(',').map(|name| name.trim().to_owned()).collect();
        match names.len() {
            1..=COLUMNS => Ok(Self { line, names }),
            found => Err(Refusal::at(line, "", Reason::Columns { found, columns: COLUMNS })),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// A column by its name or an older name of it.
    pub fn find(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.names.iter().position(|known| known == name))
    }

    /// A column that must be there.
    pub fn need(&self, names: &[&str]) -> Result<usize, Refusal> {
        self.find(names).ok_or_else(|| Refusal::at(self.line, names.first().copied().unwrap_or_default(), Reason::NoColumn))
    }

    /// The name of a column.
    pub fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("", String::as_str)
    }
}

/// The first line of a chunk and how long it is with its end; none where the chunk is empty.
pub fn first_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    (!bytes.is_empty()).then(|| match memchr::memchr(b'\n', bytes) {
        Some(end) => (bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1),
        None => (bytes, bytes.len()),
    })
}

/// A row.
pub struct Row<'c, 'r> {
    bytes: &'c [u8],
    /// Where each cell begins; behind the last one, where another would.
    cells: &'r [usize],
    /// How many bytes are between two cells.
    gap: usize,
    /// Where the row begins, in bytes of the chunk.
    pub start: usize,
    /// Which line of the file.
    pub line: u32,
}

impl<'c> Row<'c, '_> {
    /// A cell by its column.
    #[inline]
    pub fn cell(&self, column: usize) -> &'c [u8] {
        &self.bytes[self.cells[column]..self.cells[column + 1] - self.gap]
    }

    /// A cell where the table has the column, and nothing where not.
    #[inline]
    pub fn optional(&self, column: Option<usize>) -> &'c [u8] {
        column.map_or(&[], |column| self.cell(column))
    }
}

/// How cells are set apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A backtick before each, so that a comma may be within; what begins with another character is no row.
    Backticks,
    /// A comma between them; what begins with `#` is no row.
    Commas,
}

/// Hands out the rows of a chunk; says where something else begins: in bytes of the chunk, and as a number of a line.
#[inline]
pub fn rows<'c>(
    form: Form,
    chunk: Chunk<'c>,
    columns: usize,
    mut each: impl FnMut(&Row<'c, '_>) -> Result<(), Refusal>,
) -> Result<Option<(usize, u32)>, Refusal> {
    let bytes = chunk.bytes;
    let (mark, gap) = match form {
        Form::Backticks => (b'`', 2),
        Form::Commas => (b',', 1),
    };
    let is_row = |start: usize| match form {
        Form::Backticks => bytes[start] == b'`',
        Form::Commas => bytes[start] != b'#',
    };
    let mut cells = [0; COLUMNS + 1];
    let (mut start, mut count, mut line) = (0, 0, chunk.first_line);
    let begin = |cells: &mut [usize; COLUMNS + 1], start: usize| {
        cells[0] = start;
        usize::from(form == Form::Commas)
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    if !is_row(0) {
        return Ok(Some((0, line)));
    }
    count += begin(&mut cells, 0);
    let mut finish = |cells: &mut [usize; COLUMNS + 1], count: usize, start: usize, end: usize, line: u32| {
        if count != columns {
            // A value without its backtick hides in the one before it.
            let is_hidden = form == Form::Backticks && memchr::memchr_iter(b',', &bytes[start..end]).count() + 1 == columns;
            return Err(Refusal::at(line, "", if is_hidden { Reason::Backtick } else { Reason::Columns { found: count, columns } }));
        }
        let end = if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end };
        cells[columns] = end + gap;
        each(&Row { bytes, cells: &cells[..=columns], gap, start, line })
    };
    for at in memchr2_iter(mark, b'\n', bytes) {
        if bytes[at] == mark {
            let begins = form == Form::Commas || at == start || bytes[at - 1] == b',';
            if begins {
                if count < COLUMNS {
                    cells[count] = at + 1;
                }
                count += 1;
            }
        } else {
            finish(&mut cells, count, start, at, line)?;
            (start, line) = (at + 1, line.saturating_add(1));
            if start == bytes.len() {
                return Ok(None);
            }
            if !is_row(start) {
                return Ok(Some((start, line)));
            }
            count = begin(&mut cells, start);
        }
    }
    finish(&mut cells, count, start, bytes.len(), line)?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells of each row, and where something else begins.
    type Cells = (Vec<Vec<String>>, Option<(usize, u32)>);

    fn read(form: Form, text: &str, columns: usize) -> Result<Cells, Refusal> {
        let mut found = Vec::new();
        let chunk = Chunk { bytes: text.as_bytes(), offset: 0, first_line: 7 };
        let rest = rows(form, chunk, columns, |row| {
            found.push((0..columns).map(|column| String::from_utf8_lossy(row.cell(column)).into_owned()).collect());
            Ok(())
        })?;
        Ok((found, rest))
    }

    #[test]
    fn cells_are_what_lies_between() {
        for (form, text, expected, rest) in [
            (Form::Backticks, "`a,`b,`\r\n`,`,`c\n", vec![["a", "b", ""], ["", "", "c"]], None),
            (Form::Backticks, "`a,x`b,`c`,`d\r\nsum\n`1", vec![["a,x`b", "c`", "d"]], Some((15, 8))),
            (Form::Commas, "a,b,\r\n,,c", vec![["a", "b", ""], ["", "", "c"]], None),
            (Form::Commas, "a\t,b,c\n#end", vec![["a\t", "b", "c"]], Some((7, 8))),
            (Form::Commas, "#", vec![], Some((0, 7))),
            (Form::Backticks, "", vec![], None),
        ] {
            let expected = expected.into_iter().map(|row| row.map(str::to_owned).to_vec()).collect();
            assert_eq!(read(form, text, 3), Ok((expected, rest)), "{text:?}");
        }
    }

    #[test]
    fn a_row_has_as_many_cells_as_columns() {
        let refused = |form, text: &str| read(form, text, 3).expect_err("it is refused");
        assert_eq!(refused(Form::Commas, "a,b,c\na,b\n"), Refusal::at(8, "", Reason::Columns { found: 2, columns: 3 }));
        assert_eq!(refused(Form::Commas, &format!("a{}\n", ",b".repeat(100))), Refusal::at(7, "", Reason::Columns { found: 101, columns: 3 }));
        assert_eq!(refused(Form::Backticks, "`a,`b,`c,`d\n"), Refusal::at(7, "", Reason::Columns { found: 4, columns: 3 }));
        assert_eq!(refused(Form::Backticks, "`a,b,`c\n"), Refusal::at(7, "", Reason::Backtick));
    }
}
