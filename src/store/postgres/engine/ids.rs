//! Ids of attempts and events: the second in which the row was made, then a number that the database counts up. So
//! their order is that of time, an id alone leads to its partition, and a range of time is a range of ids.
//!
//! The numbers start over after 2^21, so that ids stay below 2^53, which every JSON reader holds exactly. No second
//! can have more rows than that; where the numbers start over, rows of one second are out of order.

use uuid::Uuid;

use crate::domain::{EventId, Timestamp};

/// Bits of the number.
pub(crate) const NUMBER_BITS: u32 = 21;
const NUMBERS: i64 = (1 << NUMBER_BITS) - 1;
/// The last second that fits.
const LAST_SECOND: i64 = (1 << 32) - 1;

/// Ids below this one are not made of a time: attempts and events of before this database keep theirs.
pub(crate) const TIMELY_FROM: i64 = first_of_second(1_000_000_000);

/// The id of a row made at a time, with a number of the sequence.
pub(crate) fn id_at(time: Timestamp, number: i64) -> i64 {
    first_at(time) | (number & NUMBERS)
}

/// The first id of the second that a time is in.
pub(crate) fn first_at(time: Timestamp) -> i64 {
    first_of_second(time.as_secs())
}

/// The first id of a second.
pub(crate) const fn first_of_second(second: i64) -> i64 {
    let second = if second < 0 {
        0
    } else if second > LAST_SECOND {
        LAST_SECOND
    } else {
        second
    };
    second << NUMBER_BITS
}

/// The last id of the second that a time is in.
pub(crate) fn last_at(time: Timestamp) -> i64 {
    first_at(time) | NUMBERS
}

/// The second that an id begins with.
pub(crate) fn second_of(id: i64) -> i64 {
    id >> NUMBER_BITS
}

/// The beginning of the second that an id begins with.
pub(crate) fn time_of(id: i64) -> Timestamp {
    Timestamp::from_millis(second_of(id).saturating_mul(1_000))
}

/// When an event's public id was made. Its row's id begins with this second.
pub(crate) fn made_at(event: EventId) -> Timestamp {
    let [a, b, c, d, e, f, ..] = event.as_uuid().into_bytes();
    Timestamp::from_millis(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

/// A public id for an event that is made at a time, in the order of the numbers within a millisecond. Other than
/// [`EventId::new`] it keeps to the time, though the clock be set back: the row's id begins with its second.
pub(crate) fn event_id(time: Timestamp, number: i64) -> EventId {
    let ms = u128::try_from(time.as_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    let number = (number & NUMBERS) as u128;
    let random = Uuid::new_v4().as_u128() & ((1 << 53) - 1);
    // The 12 bits behind the version take the upper bits of the number, those behind the variant the lower nine.
    let bits = ms << 80 | 7 << 76 | (number >> 9) << 64 | 2 << 62 | (number & 0x1ff) << 53 | random;
    EventId::from_uuid(Uuid::from_u128(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_time_and_lead_back_to_it() {
        let at = Timestamp::from_millis(1_700_000_000_999);
        let id = id_at(at, 7);
        assert_eq!(second_of(id), 1_700_000_000);
        assert!((first_at(at)..=last_at(at)).contains(&id));
        assert!(id_at(at.plus_ms(1), 0) > id_at(at, NUMBERS));
        assert!(last_at(Timestamp::from_millis(i64::MAX)) < 1 << 53);
    }

    #[test]
    fn public_ids_of_events_keep_to_their_time_and_to_the_order_of_their_numbers() {
        let at = Timestamp::from_millis(1_700_000_000_999);
        let ids: Vec<EventId> = [0, 1, 511, 512, NUMBERS].map(|number| event_id(at, number)).into();
        assert!(ids.is_sorted());
        assert!(ids.iter().all(|id| made_at(*id) == at && id.as_uuid().get_version_num() == 7));
        assert!(ids.iter().all(|id| id.as_uuid().get_variant() == uuid::Variant::RFC4122));
        assert!(event_id(at.plus_ms(-1), NUMBERS) < ids[0], "also when the clock is set back");
    }
}
