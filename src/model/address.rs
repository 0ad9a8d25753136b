//! IP addresses, and ranges of them, as conditions compare them. Knows no CEL.
//!
//! An IPv4 address may come written as IPv6, `::ffff:10.0.0.1`: that is how a socket for both families
//! names an IPv4 peer. It is the same address, so both forms are read into one, for addresses and for
//! ranges; otherwise a range would let in, or keep out, a peer by the way it was connected.

use std::net::IpAddr;

use super::names::quoted;

/// An address. One written as IPv4-mapped IPv6 is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(IpAddr);

impl Address {
    /// Reads `10.0.0.1` or `2001:db8::1`: no port, no brackets, no zone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let address: IpAddr = text.parse().ok()?;
        Some(Self(address.to_canonical()))
    }
}

/// All addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    base: IpAddr,
    prefix: u32,
}

/// Why a text is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It is not an address and a number of bits.
    #[error("`{text}` is no range: expected ADDRESS/BITS such as `10.0.0.0/8` or `2001:db8::/32`")]
    Form {
        /// The text, cut for quoting.
        text: String,
    },
    /// The address says more than the number of bits lets it: one of the two is not meant.
    #[error("`{text}` sets bits beyond its first {bits}: expected `{expected}`")]
    BitsBeyond {
        /// The text, cut for quoting.
        text: String,
        /// How many bits count.
        bits: u32,
        /// The range without the bits beyond.
        expected: String,
    },
}

impl Range {
    /// Reads `10.0.0.0/8` or `2001:db8::/32`. A range within `::ffff:0:0/96` is the IPv4 range.
    ///
    /// # Errors
    /// It is of another form, or has bits set beyond its prefix.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let wrong = || RangeError::Form { text: quoted(text) };
        let (address, bits) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        // `parse` alone takes `+8`, and `08`.
        let is_plain = bits == "0" || !bits.starts_with(['0', '+']);
        let bits: u32 = bits.parse().ok().filter(|_| is_plain).ok_or_else(wrong)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        if bits > width {
            return Err(wrong());
        }
        let base = first(address, bits);
        if base != address {
            let (text, expected) = (quoted(text), format!("{base}/{bits}"));
            return Err(RangeError::BitsBeyond { text, bits, expected });
        }
        // Within the mapped addresses at least 96 bits count, or the base would not be one of them.
        match (address, address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(base)) => {
                Ok(Self { base: base.into(), prefix: bits.saturating_sub(96) })
            }
            (base, _) => Ok(Self { base, prefix: bits }),
        }
    }

    /// Whether the address lies in the range. An IPv4 address lies in no range of IPv6 addresses, be it
    /// `::/0`.
    #[must_use]
    pub fn contains(&self, address: Address) -> bool {
        let same_family = address.0.is_ipv4() == self.base.is_ipv4();
        same_family && first(address.0, self.prefix) == self.base
    }
}

/// The address with only its first so many bits.
fn first(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn contains(range: &str, address: &str) -> bool {
        Range::parse(range).unwrap().contains(Address::parse(address).unwrap())
    }

    #[test]
    fn a_range_holds_what_begins_with_its_bits() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"][..], &["9.255.255.255", "11.0.0.0"][..]),
            ("192.168.4.0/22", &["192.168.7.255"], &["192.168.8.0", "192.168.3.255"]),
            ("10.1.2.3/32", &["10.1.2.3"], &["10.1.2.2", "10.1.2.4"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"], &["::", "2001:db8::1"]),
            ("2001:db8::/32", &["2001:db8::", "2001:db8:ffff::1"], &["2001:db9::", "10.0.0.1"]),
            ("fe80::1/128", &["fe80::1"], &["fe80::2"]),
            ("::/0", &["::", "::1", "ffff::"], &["10.0.0.1", "::ffff:10.0.0.1"]),
        ] {
            for address in inside {
                assert!(contains(range, address), "{address} in {range}");
            }
            for address in outside {
                assert!(!contains(range, address), "{address} in {range}");
            }
        }
    }

    #[test]
    fn an_ipv4_address_written_as_ipv6_is_the_ipv4_address() {
        assert_eq!(Address::parse("::ffff:10.0.0.1"), Address::parse("10.0.0.1"));
        assert_eq!(Address::parse("::ffff:a00:1"), Address::parse("10.0.0.1"));
        assert_ne!(Address::parse("::10.0.0.1"), Address::parse("10.0.0.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.9.9.9"));
        assert!(contains("::ffff:10.0.0.0/104", "10.9.9.9"));
        assert!(!contains("::ffff:10.0.0.0/104", "11.0.0.1"));
        assert!(contains("::ffff:0:0/96", "1.2.3.4"));
        assert_eq!(Range::parse("::ffff:10.0.0.0/104"), Range::parse("10.0.0.0/8"));
        // Wider than the mapped addresses: a range of IPv6.
        assert!(!contains("::fffe:0:0/95", "1.2.3.4"));
    }

    #[test]
    fn what_is_no_address_and_no_range_is_not_guessed_at() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.256",
            "10.0.0.01",
            "10.0.0.1:80",
            "[::1]",
            "fe80::1%eth0",
            " ::1",
            "::g",
        ] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
        for text in [
            "",
            "/",
            "10.0.0.0",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/08",
            "10.0.0.0/8/8",
            "10.0.0.0/-1",
            "10.0.0.0 /8",
            "10/8",
            "10.0.0.0/255.0.0.0",
            "10.0.0.0/4294967304",
        ] {
            assert_eq!(Range::parse(text), Err(RangeError::Form { text: text.into() }), "{text}");
        }
        for (text, expected) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.0.0.1/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::ffff:10.0.0.0/95", "::fffe:0:0/95"),
        ] {
            let error = Range::parse(text).unwrap_err();
            assert!(error.to_string().contains(&format!("expected `{expected}`")), "{error}");
        }
    }
}
