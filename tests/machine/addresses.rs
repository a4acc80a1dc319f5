//! Every interface, whatever the system takes for the default.

use std::process::Command;

use super::process::{Running, run};
use super::{is_root, serve, wrapped};

/// Its own network, in which a socket of IPv6 is one of IPv6 alone unless it asks for more.
const IPV6_ALONE: &str = "ip link set lo up && echo 1 > /proc/sys/net/ipv6/bindv6only";

#[test]
fn a_bare_port_listens_on_ipv4_and_ipv6_even_if_the_system_separates_them() {
    if !is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let exporter = serve(folder.path(), &["--web.listen-address=:10962"]);
    let script = format!("{IPV6_ALONE}\nexec \"$@\"");
    let mut apart = wrapped(&["unshare", "--net", "sh", "-c", &script, "sh"], &exporter);
    let mut exporter = Running::start(&mut apart);
    exporter.output_after(" address=");
    for address in ["127.0.0.1", "[::1]"] {
        let mut check = Command::new("nsenter");
        check.arg(format!("--net=/proc/{}/ns/net", exporter.id()));
        check.arg(env!("CARGO_BIN_EXE_cxone-exporter"));
        check.args(["check", &format!("--healthy=http://{address}:10962")]);
        let said = run(&mut check);
        assert_eq!(said.code, Some(0), "{address}: {}", said.stderr);
    }
    exporter.signal("TERM");
    assert!(exporter.ended().0.success());
}
