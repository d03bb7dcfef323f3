//! Buckets of Prometheus' native histograms
//! (<https://prometheus.io/docs/specs/native_histograms/>).

use std::collections::BTreeMap;
use std::time::Duration;

/// The resolution: 2 to this power is the number of buckets per doubling.
pub const SCHEMA: i8 = 3;

/// Times up to this one are in the bucket of zero: 2⁻¹²⁸ s, as in Prometheus' own clients.
pub const ZERO_THRESHOLD: f64 = f64::from_bits((1023 - 128) << FRACTION_BITS);

/// The upper bounds of the buckets from a half to one: powers of the eighth root of two.
const BOUNDS: [f64; 1 << SCHEMA] = [
    0.5,
    0.545_253_866_332_628_8,
    0.594_603_557_501_360_5,
    0.648_419_777_325_504_8,
    std::f64::consts::FRAC_1_SQRT_2,
    0.771_105_412_703_970_4,
    0.840_896_415_253_714_4,
    0.917_004_043_204_671_1,
];

/// The bits of the fraction of a double.
const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;

/// How many times there were in each exponential bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NativeBuckets {
    zero: u64,
    /// The counts by index, only of buckets that have counted something: at most 372 for times up
    /// to 24 hours, and usually some tens for a pool.
    positive: BTreeMap<i16, u64>,
}

/// Buckets in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// How many empty buckets are before it; in the first span, the index of its first bucket.
    pub offset: i16,
    /// How many there are.
    pub length: u16,
}

impl NativeBuckets {
    pub(super) fn add(&mut self, time: Duration) {
        if time.is_zero() {
            self.zero += 1;
        } else {
            *self.positive.entry(index(time.as_secs_f64())).or_default() += 1;
        }
    }

    /// Returns how many times were zero.
    pub fn zero(&self) -> u64 {
        self.zero
    }

    /// Returns the places of the buckets that have a count.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        let mut next = 0;
        for index in self.positive.keys().copied() {
            match spans.last_mut() {
                Some(span) if index == next => span.length += 1,
                _ => spans.push(Span { offset: index - next, length: 1 }),
            }
            next = index + 1;
        }
        spans
    }

    /// Returns their counts in order, each as the difference to the one before.
    pub fn deltas(&self) -> impl Iterator<Item = i64> {
        self.positive.values().scan(0_u64, |before, count| {
            let delta = count.wrapping_sub(*before).cast_signed();
            *before = *count;
            Some(delta)
        })
    }
}

/// Returns the index of the bucket that a time is in: the least one whose bound, two to the power
/// of an eighth of the index, is not less. The time is at least a nanosecond, so it is a normal
/// number, and the exponent can be read from its bits.
fn index(seconds: f64) -> i16 {
    let bits = seconds.to_bits();
    // As if the number were between a half and one.
    let exponent = i16::try_from(bits >> FRACTION_BITS).expect("eleven bits, not negative") - 1022;
    let fraction = f64::from_bits(bits & ((1 << FRACTION_BITS) - 1) | 0.5_f64.to_bits());
    let place = BOUNDS.partition_point(|bound| *bound < fraction);
    ((exponent - 1) << SCHEMA) + i16::try_from(place).expect("at most eight")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::histogram::Histogram;

    /// Returns the upper bound of a bucket, as the specification has it.
    fn bound(index: i16) -> f64 {
        2_f64.powf(2_f64.powi(-i32::from(SCHEMA)) * f64::from(index))
    }

    /// The counts by index, from the spans and deltas as the specification explains them.
    fn counts(buckets: &NativeBuckets) -> Vec<(i16, u64)> {
        let mut deltas = buckets.deltas();
        let (mut index, mut count) = (0, 0_u64);
        let mut counts = Vec::new();
        for span in buckets.spans() {
            index += span.offset;
            for _ in 0..span.length {
                count = count.strict_add_signed(deltas.next().expect("one for each bucket"));
                counts.push((index, count));
                index += 1;
            }
        }
        assert_eq!(deltas.next(), None);
        counts
    }

    #[test]
    fn the_bounds_are_those_of_the_specification() {
        assert_eq!(ZERO_THRESHOLD.to_bits(), 2_f64.powi(-128).to_bits());
        for (place, found) in (-8..).zip(BOUNDS) {
            assert!((found / bound(place) - 1.0).abs() < 1e-15, "{place}: {found}");
        }
    }

    #[test]
    fn a_bound_is_in_its_bucket_and_what_is_longer_is_in_the_next() {
        // Powers of two are exact.
        for doubling in -30..30_i16 {
            let exact = 2_f64.powi(doubling.into());
            assert_eq!(index(exact), 8 * doubling);
            assert_eq!(index(exact.next_up()), 8 * doubling + 1);
            assert_eq!(index(exact.next_down()), 8 * doubling);
        }
        for (place, bound) in (0..).zip(BOUNDS) {
            assert_eq!(index(bound), place - 8);
            assert_eq!(index(bound.next_up()), place - 7);
        }
    }

    #[test]
    fn spans_leave_out_what_has_no_count() {
        let mut buckets = NativeBuckets::default();
        assert_eq!((buckets.spans(), buckets.deltas().count()), (vec![], 0));
        for (millis, times) in [(0, 2), (1000, 3), (1001, 5), (4000, 4), (125, 1)] {
            for _ in 0..times {
                buckets.add(Duration::from_millis(millis));
            }
        }
        let span = |offset, length| Span { offset, length };
        assert_eq!(buckets.spans(), [span(-24, 1), span(23, 2), span(14, 1)]);
        assert_eq!(buckets.deltas().collect::<Vec<_>>(), [1, 2, 2, -1]);
        assert_eq!(buckets.zero(), 2);
    }

    proptest! {
        #[test]
        fn each_time_is_between_the_bounds_of_its_bucket(nanos in 1_u64..=86_400_000_000_000) {
            let seconds = Duration::from_nanos(nanos).as_secs_f64();
            let index = index(seconds);
            let rounding = 1.0 + 1e-14; // of powf
            prop_assert!(bound(index - 1) < seconds * rounding, "{seconds} in {index}");
            prop_assert!(seconds <= bound(index) * rounding, "{seconds} in {index}");
        }

        #[test]
        fn both_kinds_of_buckets_agree(
            nanos in prop::collection::vec(prop_oneof![Just(0), 1_u64..10_000_000_000], 0..200),
        ) {
            const BOUNDS: &[u64] = &[250_000, 1_000_000, 8_000_000]; // powers of two are in both
            let mut times = Histogram::new(BOUNDS).with_native_buckets();
            for nanos in &nanos {
                times.add(Duration::from_nanos(*nanos));
            }
            prop_assert_eq!(times.sum(), Duration::from_nanos(nanos.iter().sum()));
            let native = times.native().expect("there are some");
            let counts = counts(native);
            let up_to = |last| {
                let below = counts.iter().filter(|(index, _)| *index <= last);
                native.zero() + below.map(|(_, count)| count).sum::<u64>()
            };
            prop_assert_eq!(up_to(i16::MAX), times.count());
            let classic: Vec<_> = times.buckets().map(|(_, below)| below).collect();
            prop_assert_eq!([-16, 0, 24].map(up_to).to_vec(), classic);
        }
    }
}
