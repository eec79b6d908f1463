//! Priorities, exact in both directions.

use crate::priority::Priority;

/// The contact priority for an XMPP priority: 0 to 0, 127 to 1, between them in steps; `None` for a negative one.
///
/// Different priorities stay different, and [`from_pidf`] gives each back.
pub fn to_pidf(priority: i8) -> Option<Priority> {
    // RFC 8048 §6.2, note 6: a negative priority must not be mapped.
    let priority = u32::try_from(priority).ok()?;
    Priority::from_thousandths(u16::try_from(priority * 1000 / XMPP_MAX).ok()?)
}

/// The XMPP priority for a contact priority, never negative; 127 for 1 alone.
pub fn from_pidf(priority: Priority) -> i8 {
    let thousandths = u32::from(priority.thousandths());
    let scaled = (thousandths * XMPP_MAX).div_ceil(1000);
    let capped = if thousandths < 1000 { scaled.min(XMPP_MAX - 1) } else { XMPP_MAX };
    i8::try_from(capped).unwrap_or(i8::MAX)
}

/// RFC 6121 §4.7.2.3: the highest priority.
const XMPP_MAX: u32 = 127;

#[cfg(test)]
mod tests {
    use super::*;

    // checks: PRS-046
    #[test]
    fn rfc8048_s6_2_every_priority_comes_back() {
        for priority in 0..=i8::MAX {
            let mapped = to_pidf(priority).unwrap();
            assert_eq!(from_pidf(mapped), priority);
            assert!(priority == 0 || to_pidf(priority - 1).unwrap() < mapped);
        }
        for priority in i8::MIN..0 {
            assert_eq!(to_pidf(priority), None);
        }
        for thousandths in 1..=1000 {
            let [lower, higher] =
                [thousandths - 1, thousandths].map(|n| from_pidf(Priority::from_thousandths(n).unwrap()));
            assert!(0 <= lower && lower <= higher);
        }
    }
}
