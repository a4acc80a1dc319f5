//! Which hosts are CXone's own.

/// The domains that CXone's hosts are in. Source: NICE's developer documentation names hosts in
/// both.
const DOMAINS: [&str; 2] = ["niceincontact.com", "nice-incontact.com"];

/// Whether `host` is one of CXone's domains or below one.
#[must_use]
pub fn is_cxone(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    DOMAINS.iter().any(|domain| {
        host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_domains_and_what_is_below_them_are_cxones() {
        for host in [
            "niceincontact.com",
            "cxone.niceincontact.com",
            "CXONE-GOV.niceincontact.com",
            "na1.nice-incontact.com",
            "a.b.nice-incontact.com",
        ] {
            assert!(is_cxone(host), "{host}");
        }
        for host in [
            "evilniceincontact.com",
            "niceincontact.com.evil.org",
            "niceincontact.co",
            "",
            ".",
            "nice.incontact.com",
            "incontact.com",
        ] {
            assert!(!is_cxone(host), "{host}");
        }
    }
}
