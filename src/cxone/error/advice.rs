//! What to do about an error: for each cause what fits it, in the words of the API in use.

use super::{ApiEndpoint, ApiError, ErrorKind, SignsInWith};
use crate::cxone::http::transport::TransportFault;

/// Why a report may have no rows, in the dialect in use, one sentence a line. `doubtful_id` is an
/// agent's id that does not look like one.
pub(crate) fn of_no_rows(is_platform: bool, doubtful_id: Option<&str>) -> Vec<String> {
    let mut causes = vec!["No state changed in this window, or".to_owned()];
    match doubtful_id {
        _ if is_platform => causes.extend(
            [
                "the agent's id is wrong: these calls take the agent's number, not a login name, or",
                "the role of the access key's user hides the agents: CXone leaves them out without an error.",
            ]
            .map(str::to_owned),
        ),
        Some(id) => causes.push(format!(
            "the id `{id}` is wrong, which is likely: internal ids begin with `user-`, and an e-mail address is not an id, or"
        )),
        None => causes.push(
            "the id is wrong: CXone expects the internal id, which begins with `user-`, not an e-mail address or a login name, or"
                .to_owned(),
        ),
    }
    if !is_platform {
        causes.push("the agent was not active in this window.".to_owned());
    }
    causes
}

/// What to do about `error`.
pub(crate) fn of(error: &ApiError) -> &'static str {
    let is_platform = !matches!(error.signs_in_with, SignsInWith::OauthClient);
    let status = error.status.map(|status| status.as_u16());
    match (error.kind, error.endpoint) {
        (ErrorKind::Credentials | ErrorKind::TokenForbidden | ErrorKind::Token, _) => {
            of_token(error, status)
        }
        // These documents are asked for without credentials.
        (
            ErrorKind::Unauthorized
            | ErrorKind::Forbidden
            | ErrorKind::Rejected
            | ErrorKind::UnexpectedStatus
            | ErrorKind::Redirected,
            ApiEndpoint::Discovery,
        ) => {
            "Check api.issuer; or write the API's address as api.base_url, so that it need not be discovered."
        }
        (ErrorKind::Unauthorized, _) => {
            "The token expired or was revoked; the next request gets a new one."
        }
        (ErrorKind::Forbidden, _) if is_platform => {
            "The role of the access key's user lacks a permission for this call: look at Admin > Security > Roles & Permissions; what \
             was mended there works with the next token."
        }
        (ErrorKind::Forbidden, _) => {
            "Look at Admin > Security > OAuth Clients: Reports must be checked under Capabilities and reports:read under Scopes, \
             and the tenant needs the Reporting module; what was mended there works with the next token."
        }
        (ErrorKind::JobFailed, _) => {
            "The next report job covers the same window; if they keep failing, ask NICE's support."
        }
        (ErrorKind::Lost, _) => "The job is gone and has to be submitted again.",
        (ErrorKind::Rejected | ErrorKind::UnexpectedStatus, endpoint) => {
            of_rejection(endpoint, is_platform, status)
        }
        (ErrorKind::Throttled, endpoint) => of_throttling(endpoint, is_platform),
        (ErrorKind::Server, _) => "This is a fault at CXone, and as a rule a passing one.",
        (ErrorKind::Redirected, ApiEndpoint::Token) if is_platform => {
            "Redirects are never followed, so that the credentials go nowhere else: check api.issuer and api.area."
        }
        (ErrorKind::Redirected, _) => {
            "Redirects are never followed, so that the token goes nowhere else: check api.base_url."
        }
        (
            ErrorKind::Malformed,
            ApiEndpoint::Token | ApiEndpoint::Submit | ApiEndpoint::Discovery,
        ) if error.fault.is_none() => {
            if is_platform {
                "Nothing of this answer was used. If it lasts, something else than CXone answers there: check api.issuer, api.area and \
                 api.base_url."
            } else {
                "Nothing of this answer was used. If it lasts, something else than CXone answers there: check api.base_url or api.tenant."
            }
        }
        (ErrorKind::Malformed, _) => "Nothing of this answer was used.",
        (ErrorKind::TooLarge, ApiEndpoint::Poll | ApiEndpoint::History) => {
            "Nothing of this answer was used; a shorter window or smaller targets make smaller reports."
        }
        (ErrorKind::TooLarge, _) => {
            "Nothing of this answer was used. CXone's are much smaller: see what else may answer there."
        }
        (ErrorKind::Unreachable, _) => of_connection(error.fault, is_platform),
    }
}

fn of_token(error: &ApiError, status: Option<u16>) -> &'static str {
    match (error.kind, status, error.signs_in_with) {
        (ErrorKind::Credentials, _, SignsInWith::OauthClient) => {
            "The client id or the client secret is wrong: check api.client_id and api.client_secret_file (or \
             CXONE_CLIENT_SECRET). CXone shows a secret only once, so make a new one if in doubt: Admin > Security > OAuth Clients."
        }
        (ErrorKind::Credentials, _, SignsInWith::AccessKey) => {
            "The access key's id or secret is wrong: check api.access_key_id and api.access_key_secret_file (or \
             CXONE_ACCESS_KEY_SECRET), and that api.area is the tenant's."
        }
        (ErrorKind::Credentials, _, SignsInWith::AccessKeyAndClient) => {
            "The access key or the OAuth client is wrong: check api.access_key_id, api.access_key_secret_file, api.client_id and \
             api.client_secret_file, or the environment variables in their place."
        }
        (ErrorKind::TokenForbidden, _, SignsInWith::OauthClient) => {
            "The OAuth client lacks permission or is disabled: look at Admin > Security > OAuth Clients."
        }
        (ErrorKind::TokenForbidden, _, SignsInWith::AccessKey) => {
            "The access key or its user is disabled or lacks permission: look at the user's access keys under Admin > Users."
        }
        (ErrorKind::TokenForbidden, _, SignsInWith::AccessKeyAndClient) => {
            "The access key, its user or the OAuth client is disabled or lacks permission: look at the user's access keys under \
             Admin > Users, and at the registered application."
        }
        (_, Some(404 | 405 | 410), SignsInWith::OauthClient) => {
            "Tokens do not come from this address: check api.base_url or api.tenant."
        }
        (_, Some(404 | 405 | 410), SignsInWith::AccessKey) => {
            "Tokens do not come from this address: check api.area or api.issuer."
        }
        (_, Some(404 | 405 | 410), SignsInWith::AccessKeyAndClient) => {
            "Tokens do not come from this address: check api.issuer."
        }
        (_, _, SignsInWith::OauthClient) => {
            "CXone's answer says what it does not accept; as a rule it is api.client_id or api.client_secret_file."
        }
        (_, _, SignsInWith::AccessKey) => {
            "CXone's answer says what it does not accept; as a rule it is api.access_key_id or api.access_key_secret_file."
        }
        (_, _, SignsInWith::AccessKeyAndClient) => {
            "CXone's answer says what it does not accept; as a rule it is api.access_key_id, api.access_key_secret_file, api.client_id or \
             api.client_secret_file."
        }
    }
}

fn of_rejection(endpoint: ApiEndpoint, is_platform: bool, status: Option<u16>) -> &'static str {
    match (endpoint, is_platform, status) {
        (ApiEndpoint::Submit, _, Some(404 | 405 | 410)) => {
            "Reports are not asked for at this address: check api.base_url or api.tenant, and whether the tenant has the Reporting module."
        }
        (ApiEndpoint::Submit, _, _) => {
            "CXone's answer says what it does not accept: the dates, which may reach further back than its data (poll.lookback), or the \
             filter, of which the API's documentation shows the type `user` only."
        }
        (_, true, Some(404 | 405 | 410)) => {
            "There is no such call at this address: check api.version and api.base_url, and the agent's id where one is in the call."
        }
        (ApiEndpoint::History, true, _) => {
            "CXone's answer says what it does not accept: the dates, which may reach further back than its data (poll.lookback), or the \
             agent's id."
        }
        (_, true, _) => {
            "CXone's answer says what it does not accept; another api.version may accept it."
        }
        (_, false, _) => "CXone's answer says what it does not accept.",
    }
}

const fn of_throttling(endpoint: ApiEndpoint, is_platform: bool) -> &'static str {
    match (endpoint, is_platform) {
        (_, true) => {
            "Other programs of the tenant may count, too; quota.requests_per_minute says how many requests the exporter makes."
        }
        (ApiEndpoint::Submit, false) => {
            "CXone allows 10 report jobs a minute for each OAuth client; other programs that use the client count too."
        }
        (ApiEndpoint::Poll, false) => {
            "Other programs that use the OAuth client count too; a longer jobs.poll_every makes fewer requests."
        }
        (_, false) => "Other programs that use the OAuth client count too.",
    }
}

const fn of_connection(fault: Option<TransportFault>, is_platform: bool) -> &'static str {
    match (fault, is_platform) {
        (Some(TransportFault::Name), false) => {
            "Check the name in api.base_url or api.tenant, and the machine's name resolution (DNS)."
        }
        (Some(TransportFault::Name), true) => {
            "Check the name in api.issuer, api.base_url or api.area, and the machine's name resolution (DNS)."
        }
        (Some(TransportFault::Connect), false) => {
            "Check host and port in api.base_url or api.tenant, and firewalls; where only a proxy leads out, name it in HTTPS_PROXY."
        }
        (Some(TransportFault::Connect), true) => {
            "Check host and port in api.issuer, api.base_url or api.area, and firewalls; where only a proxy leads out, name it in \
             HTTPS_PROXY."
        }
        (Some(TransportFault::Timeout), _) => {
            "CXone or the network is slow, or a firewall drops what is sent; where only a proxy leads out, name it in HTTPS_PROXY."
        }
        (Some(TransportFault::Cut), _) => {
            "As a rule this passes; if it lasts, look at firewalls, proxies and balancers in between."
        }
        (Some(TransportFault::Coding), _) => {
            "Look for what packs answers on the way without having been asked to."
        }
        (Some(TransportFault::NotTls), false) => {
            "The address says https, and what answers there does not speak TLS: check api.base_url, also its port."
        }
        (Some(TransportFault::NotTls), true) => {
            "The address says https, and what answers there does not speak TLS: check api.issuer and api.base_url, also their ports."
        }
        (Some(TransportFault::NotHttp), false) => {
            "Check api.base_url, also its port; what answers there may speak TLS and want https instead of http."
        }
        (Some(TransportFault::NotHttp), true) => {
            "Check api.issuer and api.base_url, also their ports; what answers there may speak TLS and want https instead of http."
        }
        (Some(TransportFault::UnknownIssuer), _) => {
            "If the authority is your own, as that of a gateway or of TLS inspection, name a file with its certificate in api.ca_file."
        }
        (Some(TransportFault::Expired), _) => {
            "Whoever runs that server has to renew the certificate; if it is valid, this machine's clock is wrong."
        }
        (Some(TransportFault::WrongName), false) => {
            "Write one of these hosts in api.base_url, or have a certificate issued that names this one."
        }
        (Some(TransportFault::WrongName), true) => {
            "Write one of these hosts in api.issuer and api.base_url, or have a certificate issued that names this one."
        }
        (Some(TransportFault::Tls), _) => {
            "Look at what answers there, and at what inspects TLS in between."
        }
        (Some(TransportFault::ProxyUnreachable), _) => {
            "Check the proxy's address in HTTPS_PROXY; what needs no proxy belongs into NO_PROXY."
        }
        (Some(TransportFault::ProxyLogin), _) => {
            "Write name and password into HTTPS_PROXY, percent-encoded: http://NAME:PASSWORD@proxy.example:3128."
        }
        (Some(TransportFault::ProxyRefused), _) => {
            "Have the proxy allow CONNECT to this host and port, or name the host in NO_PROXY if it can be reached without."
        }
        (None, _) => "Check the address in the configuration.",
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    const OAUTH: SignsInWith = SignsInWith::OauthClient;
    const KEY: SignsInWith = SignsInWith::AccessKey;
    const BOTH: SignsInWith = SignsInWith::AccessKeyAndClient;

    fn refused(with: SignsInWith, endpoint: ApiEndpoint, code: u16) -> &'static str {
        let status = StatusCode::from_u16(code).unwrap();
        of(&ApiError::refused(endpoint, status, None, "").with(with))
    }

    /// Keys that only one of the APIs has, or that are for one way to sign in.
    const REPORTS_ONLY: [&str; 4] =
        ["api.tenant", "report jobs", "reports:read", "jobs.poll_every"];
    const PLATFORM_ONLY: [&str; 6] = [
        "api.issuer",
        "api.area",
        "api.version",
        "api.access_key",
        "Roles & Permissions",
        "quota.requests_per_minute",
    ];

    fn every(with: SignsInWith) -> Vec<(String, &'static str)> {
        let endpoints: &[ApiEndpoint] =
            if with == OAUTH { &ApiEndpoint::OF_REPORTS } else { &ApiEndpoint::OF_PLATFORM };
        let mut all = Vec::new();
        for endpoint in endpoints {
            for code in [301, 400, 401, 403, 404, 405, 409, 410, 418, 422, 429, 500, 503] {
                all.push((format!("{endpoint:?} {code}"), refused(with, *endpoint, code)));
            }
            for kind in [ErrorKind::Malformed, ErrorKind::TooLarge] {
                let error = ApiError::new(kind, *endpoint, "").with(with);
                all.push((format!("{endpoint:?} {kind:?}"), of(&error)));
            }
            for fault in [
                TransportFault::Name,
                TransportFault::Connect,
                TransportFault::Timeout,
                TransportFault::Cut,
                TransportFault::Coding,
                TransportFault::NotTls,
                TransportFault::NotHttp,
                TransportFault::UnknownIssuer,
                TransportFault::Expired,
                TransportFault::WrongName,
                TransportFault::Tls,
                TransportFault::ProxyUnreachable,
                TransportFault::ProxyLogin,
                TransportFault::ProxyRefused,
            ] {
                let error = ApiError::new(ErrorKind::Unreachable, *endpoint, "");
                all.push((format!("{endpoint:?} {fault:?}"), of(&error.with(with).by(fault))));
            }
        }
        all
    }

    #[test]
    fn no_advice_speaks_of_what_the_api_in_use_does_not_have() {
        for (with, others) in
            [(OAUTH, &PLATFORM_ONLY[..]), (KEY, &REPORTS_ONLY), (BOTH, &REPORTS_ONLY)]
        {
            for (cause, advice) in every(with) {
                for word in others {
                    assert!(!advice.contains(word), "{cause} of {with:?}: {advice}");
                }
            }
        }
        for (cause, advice) in every(KEY) {
            assert!(!advice.contains("api.client"), "{cause}: {advice}");
        }
    }

    #[test]
    fn secrets_are_spoken_of_where_they_may_be_wrong_and_nowhere_else() {
        for with in [OAUTH, KEY, BOTH] {
            for (cause, advice) in every(with) {
                let may_be_wrong =
                    [400, 401, 409, 418, 422].iter().any(|code| cause == format!("Token {code}"));
                assert_eq!(advice.contains("secret_file"), may_be_wrong, "{cause}: {advice}");
            }
        }
        assert!(refused(OAUTH, ApiEndpoint::Token, 401).contains("make a new one"));
        assert!(refused(OAUTH, ApiEndpoint::Token, 401).contains("(or CXONE_CLIENT_SECRET)"));
        assert!(refused(KEY, ApiEndpoint::Token, 401).contains("api.access_key_secret_file"));
        assert!(refused(BOTH, ApiEndpoint::Token, 401).contains("api.client_id"));
    }

    #[test]
    fn an_address_is_spoken_of_where_nothing_is_found_and_dates_where_they_may_be_refused() {
        for (with, endpoint, code, words) in [
            (OAUTH, ApiEndpoint::Token, 404, "api.base_url or api.tenant"),
            (KEY, ApiEndpoint::Token, 404, "api.area"),
            (BOTH, ApiEndpoint::Token, 405, "api.issuer"),
            (OAUTH, ApiEndpoint::Submit, 404, "Reporting module"),
            (OAUTH, ApiEndpoint::Submit, 422, "poll.lookback"),
            (OAUTH, ApiEndpoint::Submit, 400, "poll.lookback"),
            (OAUTH, ApiEndpoint::Poll, 404, "submitted again"),
            (BOTH, ApiEndpoint::History, 404, "api.version"),
            (BOTH, ApiEndpoint::History, 400, "poll.lookback"),
            (KEY, ApiEndpoint::States, 404, "api.version"),
            (KEY, ApiEndpoint::States, 400, "CXone's answer says"),
            (KEY, ApiEndpoint::Discovery, 401, "api.issuer"),
            (KEY, ApiEndpoint::Discovery, 404, "api.issuer"),
            (OAUTH, ApiEndpoint::Submit, 429, "10 report jobs"),
            (OAUTH, ApiEndpoint::Poll, 429, "jobs.poll_every"),
        ] {
            let advice = refused(with, endpoint, code);
            assert!(advice.contains(words), "{endpoint:?} {code}: {advice}");
        }
        for (cause, advice) in every(OAUTH).into_iter().chain(every(BOTH)) {
            let of_dates = ["Submit 4", "History 4"].iter().any(|begin| cause.starts_with(begin));
            assert!(of_dates || !advice.contains("poll.lookback"), "{cause}: {advice}");
        }
    }

    #[test]
    fn every_advice_is_a_sentence() {
        for with in [OAUTH, KEY, BOTH] {
            for (cause, advice) in every(with) {
                assert!(
                    advice.ends_with('.') && advice.starts_with(char::is_uppercase),
                    "{cause}: {advice}"
                );
            }
        }
    }
}
