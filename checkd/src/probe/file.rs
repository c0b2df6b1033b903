//! `FILE_CHECK`: what the number in a file says of a server.
//!
//! Called by the driver when the parent tells a number. The number is what somebody wrote into a file.

use config::model::check::FileCheck;
use config::model::units::Weight;

use super::{DynamicWeight, Failure, Outcome};

/// At or below this sum a server is down, whatever its weight.
const DOWN: i64 = -2_147_483_648;

/// What a number means for a server of this configured weight.
#[must_use]
pub fn judge(check: &FileCheck, configured: Weight, value: i64) -> Outcome {
    if check.weight == 0 {
        let down = (value != 0) != check.reverse;
        return if down {
            Outcome::Fail(Failure::FileValue(value))
        } else {
            Outcome::Pass(DynamicWeight::Configured)
        };
    }
    let sum = value.saturating_mul(i64::from(check.weight));
    let sum = if check.reverse { sum.saturating_neg() } else { sum };
    if sum <= DOWN {
        return Outcome::Fail(Failure::FileValue(value));
    }
    let weight = i64::from(configured.value()).saturating_add(sum);
    Outcome::Pass(DynamicWeight::Set(Weight::clamped(weight)))
}

#[cfg(test)]
mod tests {
    use config::model::units::FileId;

    use super::*;

    fn judged(weight: i32, reverse: bool, value: i64) -> Outcome {
        let check = FileCheck { file: FileId::new(0), name: "load".to_owned(), weight, reverse };
        judge(&check, Weight::new(10).unwrap(), value)
    }

    fn weighs(weight: u32) -> Outcome {
        Outcome::Pass(DynamicWeight::Set(Weight::new(weight).unwrap()))
    }

    #[test]
    fn without_a_weight_the_number_is_up_or_down() {
        assert_eq!(judged(0, false, 0), Outcome::Pass(DynamicWeight::Configured));
        assert_eq!(judged(0, false, -3), Outcome::Fail(Failure::FileValue(-3)));
        assert_eq!(judged(0, true, 0), Outcome::Fail(Failure::FileValue(0)));
        assert_eq!(judged(0, true, 1), Outcome::Pass(DynamicWeight::Configured));
    }

    #[test]
    fn the_number_times_the_weight_is_added_within_bounds() {
        assert_eq!(judged(2, false, 5), weighs(20));
        assert_eq!(judged(2, true, 3), weighs(4));
        assert_eq!(judged(1, false, -50), weighs(0));
        assert_eq!(judged(1, false, 4_000_000_000), weighs(2_147_483_647));
    }

    #[test]
    fn the_lowest_sum_takes_the_server_down() {
        assert_eq!(judged(1, false, -2_147_483_647), weighs(0));
        assert_eq!(judged(1, false, -2_147_483_648), Outcome::Fail(Failure::FileValue(-2_147_483_648)));
        assert_eq!(judged(2, false, i64::MIN), Outcome::Fail(Failure::FileValue(i64::MIN)));
    }
}
