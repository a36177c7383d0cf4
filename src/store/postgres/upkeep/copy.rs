//! The binary form of COPY: rows as the server takes and gives them.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use crate::store::postgres::engine::error::{DbResult, fault};
use crate::store::shared::transfer::{Cell, Cells, Kind, Table};

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Behind the signature: flags, and the length of nothing more.
const HEAD: usize = SIGNATURE.len() + 8;

/// What comes before the first row.
pub(super) fn put_head(out: &mut BytesMut) {
    out.put_slice(SIGNATURE);
    out.put_u64(0);
}

/// What comes behind the last one.
pub(super) fn put_end(out: &mut BytesMut) {
    out.put_i16(-1);
}

/// A row.
pub(super) fn put_row(out: &mut BytesMut, table: &Table, row: &[Cell]) {
    out.put_i16(i16::try_from(row.len()).unwrap_or(i16::MAX));
    for (cell, column) in row.iter().zip(&table.columns) {
        match (cell, column.kind) {
            (Cell::Null, _) => out.put_i32(-1),
            (Cell::Int(number), Kind::Bool) => {
                out.put_i32(1);
                out.put_u8(u8::from(*number != 0));
            }
            (Cell::Int(number), Kind::Small) => {
                out.put_i32(2);
                out.put_i16(i16::try_from(*number).unwrap_or(i16::MAX));
            }
            (Cell::Int(number), _) => {
                out.put_i32(8);
                out.put_i64(*number);
            }
            (Cell::Text(text), _) => put_bytes(out, text.as_bytes()),
            (Cell::Bytes(bytes), _) => put_bytes(out, bytes),
        }
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    out.put_slice(bytes);
}

/// Reads what the server gives, in pieces of any size.
#[derive(Debug, Default)]
pub(super) struct Rows {
    data: BytesMut,
    has_begun: bool,
}

impl Rows {
    pub(super) fn add(&mut self, piece: &Bytes) {
        self.data.extend_from_slice(piece);
    }

    /// The next row; `None`: it is not all there yet, or there is none left.
    pub(super) fn next(&mut self, table: &Table) -> DbResult<Option<Cells>> {
        if !self.has_begun {
            if self.data.len() < HEAD {
                return Ok(None);
            }
            if !self.data.starts_with(SIGNATURE) {
                return Err(fault("the server gives rows in an unknown form"));
            }
            self.data.advance(HEAD);
            self.has_begun = true;
        }
        let mut rest = &self.data[..];
        let Some(count) = rest.try_get_i16().ok().filter(|count| *count >= 0) else { return Ok(None) };
        if usize::try_from(count) != Ok(table.columns.len()) {
            return Err(fault(format!("a row of {} has {count} columns", table.name)));
        }
        let mut row = Cells::with_capacity(table.columns.len());
        for column in &table.columns {
            let Ok(length) = rest.try_get_i32() else { return Ok(None) };
            let Ok(length) = usize::try_from(length) else {
                row.push(Cell::Null);
                continue;
            };
            let Some((value, behind)) = rest.split_at_checked(length) else { return Ok(None) };
            row.push(cell(column.kind, value).ok_or_else(|| {
                fault(format!("the column {} of {} has an unknown form", column.name, table.name))
            })?);
            rest = behind;
        }
        let used = self.data.len() - rest.len();
        self.data.advance(used);
        Ok(Some(row))
    }
}

fn cell(kind: Kind, value: &[u8]) -> Option<Cell> {
    Some(match kind {
        Kind::Int => Cell::Int(i64::from_be_bytes(value.try_into().ok()?)),
        Kind::Small => Cell::Int(i16::from_be_bytes(value.try_into().ok()?).into()),
        Kind::Bool => Cell::Int((*value.first()? != 0).into()),
        Kind::Text => Cell::Text(String::from_utf8(value.to_vec()).ok()?),
        Kind::Bytes | Kind::Uuid => Cell::Bytes(value.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::shared::transfer::Column;

    #[test]
    fn rows_read_back_in_pieces_of_any_size() {
        let kinds = [Kind::Int, Kind::Small, Kind::Bool, Kind::Text, Kind::Bytes, Kind::Uuid, Kind::Int];
        let columns = kinds.map(|kind| Column { name: "c", kind }).into();
        let table = Table { name: "t", columns };
        let row = |number: i64| {
            let bytes = |length: usize| Cell::Bytes(vec![7; length]);
            let text = Cell::Text("ü".repeat(3));
            vec![Cell::Int(-number), Cell::Int(255), Cell::Int(1), text, bytes(0), bytes(16), Cell::Null]
        };
        let mut out = BytesMut::new();
        put_head(&mut out);
        put_row(&mut out, &table, &row(1));
        put_row(&mut out, &table, &row(i64::MAX));
        put_end(&mut out);
        for size in [1, 7, out.len()] {
            let (mut rows, mut read) = (Rows::default(), Vec::new());
            for piece in out.chunks(size) {
                rows.add(&Bytes::copy_from_slice(piece));
                while let Some(row) = rows.next(&table).unwrap() {
                    read.push(row);
                }
            }
            assert_eq!(read, [row(1), row(i64::MAX)], "{size}");
        }
    }
}
