//! How many seats a call is worth, in microseconds.
//!
//! The constants are measured on two processors of a server (docs/PERFORMANCE.md); what a third and further members
//! add is an estimate: a line more that is fetched for the hand-over, one more that draws tickets in each phase.
//! Whatever is decided here, bits are the same.

/// To hand a call over to a member that is awake.
const HAND_OVER: f64 = 0.5;
/// The same for each member more.
const HAND_OVER_MORE: f64 = 0.1;
/// To change the phase: the last item's count reaches who waits for it.
const PHASE: f64 = 0.2;
/// The same for each member more.
const PHASE_MORE: f64 = 0.02;
/// From a claim to the arrival of a member that slept.
const WAKE: f64 = 16.0;
/// The caller's own time to wake each.
const UNPARK: f64 = 3.0;
/// Awake members are worth their while from this part of the caller's own time.
const GAIN_AWAKE: f64 = 0.9;
/// Sleeping ones from this one: their processors were somebody else's, or cold.
const GAIN_ASLEEP: f64 = 0.8;

/// What a call costs with so many seats, all awake.
fn time(micros: f64, phases: usize, seats: usize) -> f64 {
    if seats <= 1 {
        return micros;
    }
    let more = (seats - 2) as f64;
    let phases = phases as f64;
    micros / seats as f64 + HAND_OVER + phases * PHASE + more * (HAND_OVER_MORE + phases * PHASE_MORE)
}

/// The seats at which `micros / seats + seats · each` is least.
fn balance(micros: f64, each: f64, least: usize, most: usize) -> usize {
    ((micros / each).sqrt() as usize).clamp(least, most)
}

/// Seats worth having if all members are awake: 1, the caller alone, or more.
pub(super) fn awake(micros: f64, phases: usize, most: usize) -> usize {
    if most < 2 {
        return 1;
    }
    let seats = balance(micros, HAND_OVER_MORE + phases as f64 * PHASE_MORE, 2, most);
    if time(micros, phases, seats) < GAIN_AWAKE * micros { seats } else { 1 }
}

/// Seats worth having if `seats` are filled, the caller's among them, and all others have to be woken.
pub(super) fn woken(micros: f64, phases: usize, seats: usize, most: usize) -> usize {
    if most <= seats {
        return seats;
    }
    // Until the others come, those who are there work.
    let left = micros - WAKE * seats as f64;
    if left <= 0.0 {
        return seats;
    }
    let each = UNPARK + HAND_OVER_MORE + phases as f64 * PHASE_MORE;
    let all = balance(left, each, seats + 1, most);
    let woken = WAKE + UNPARK * (all - seats) as f64 + time(left, phases, all);
    if woken < GAIN_ASLEEP * time(micros, phases, seats) { all } else { seats }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn little_work_is_the_callers() {
        for phases in [1, 3, 9, 100] {
            for micros in [0.0, -1.0, f64::NAN, 0.3, 1.0] {
                assert_eq!(awake(micros, phases, 64), 1, "{micros} {phases}");
                assert_eq!(woken(micros, phases, 1, 64), 1, "{micros} {phases}");
            }
        }
        assert_eq!(awake(1e6, 1, 1), 1);
        assert_eq!(awake(1e6, 1, 0), 1);
    }

    #[test]
    fn two_pay_from_some_microseconds_awake_and_from_some_forty_asleep() {
        assert_eq!((awake(2.0, 9, 2), awake(8.0, 9, 2)), (1, 2));
        assert_eq!((woken(25.0, 9, 1, 2), woken(60.0, 9, 1, 2)), (1, 2));
    }

    #[test]
    fn more_work_never_gets_fewer_seats() {
        for phases in [1, 9, 40] {
            let (mut before, mut before_woken) = (1, 1);
            for micros in (0..80).map(|i| 1.3f64.powi(i)) {
                let (seats, woken) = (awake(micros, phases, 48), woken(micros, phases, 1, 48));
                assert!(seats >= before && woken >= before_woken, "{micros} {phases}: {seats} {woken}");
                assert!(woken <= seats, "{micros} {phases}: {woken} of {seats}");
                (before, before_woken) = (seats, woken);
            }
            assert_eq!((before, before_woken), (48, 48));
        }
    }
}
