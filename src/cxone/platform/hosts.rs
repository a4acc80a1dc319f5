//! Where credentials and tokens may go.

use crate::base_url::BaseUrl;

/// The addresses that were configured, whose origins are allowed whatever they are.
#[derive(Clone, Debug)]
pub(crate) struct AllowedHosts {
    configured: Vec<BaseUrl>,
}

impl AllowedHosts {
    pub(crate) fn new<'a>(configured: impl IntoIterator<Item = &'a BaseUrl>) -> Self {
        Self { configured: configured.into_iter().cloned().collect() }
    }

    /// The discovered address `text`, if it may see credentials.
    ///
    /// # Errors
    /// What is wrong with it; repeats what the server wrote, so it has to be cleaned.
    pub(crate) fn allow(&self, text: &str) -> Result<BaseUrl, String> {
        let url: BaseUrl =
            text.trim().parse().map_err(|error| format!("is {text}, which {error}"))?;
        if self.configured.iter().any(|configured| configured.has_origin_of(&url)) {
            return Ok(url);
        }
        if !url.is_https() {
            return Err(format!("is {text}, which is not https: no credentials go there"));
        }
        if !url.is_cxone() {
            return Err(format!(
                "is {text}, which is none of CXone's hosts: no credentials go there; if it is right, write it as api.base_url or api.issuer"
            ));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discovered_address_is_one_of_cxones_or_has_a_configured_origin() {
        let issuer: BaseUrl = "http://127.0.0.1:8080/sim".parse().unwrap();
        let hosts = AllowedHosts::new([&issuer]);
        for text in [
            "https://api-na1.niceincontact.com",
            "https://na1.nice-incontact.com/",
            "http://127.0.0.1:8080/other",
            " https://cxone-gov.niceincontact.com/auth/token",
        ] {
            assert!(hosts.allow(text).is_ok(), "{text}");
        }
        for (text, why) in [
            ("https://api.example.org", "none of CXone's hosts"),
            ("https://niceincontact.com.example.org", "none of CXone's hosts"),
            ("http://api-na1.niceincontact.com", "not https"),
            ("http://127.0.0.1:8081", "not https"),
            ("https://127.0.0.1:8080", "none of CXone's hosts"),
            ("https://me@api-na1.niceincontact.com", "user name"),
            ("ftp://api-na1.niceincontact.com", "https://"),
            ("", "not a valid URL"),
        ] {
            let error = hosts.allow(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
