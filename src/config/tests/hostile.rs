//! Text that was made to do harm, and text that means nothing.

use std::time::Duration;

use proptest::prelude::*;

use super::{HEAD, TARGETS, mistakes, parse, parse_duration, show_duration};

#[test]
fn anchors_work_and_bombs_do_not() {
    let (config, _) =
        parse(&format!("{HEAD}{TARGETS}poll: {{interval: &i 90s, settle_delay: *i}}\n")).unwrap();
    assert_eq!(
        (config.poll.interval, config.poll.settle_delay),
        (Duration::from_secs(90), Duration::from_secs(90))
    );
    let mut bomb = "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n".to_owned();
    for level in 1..20 {
        let before = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(",")));
    }
    assert!(mistakes(&bomb).contains("copy too much") || mistakes(&bomb).contains("hold too much"));
    let mut tower = "a0: &a0 []\n".to_owned();
    for level in 1..5_000 {
        tower.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(mistakes(&tower).ends_with("nested deeper than 32 levels"));
}

#[test]
fn hostile_files_of_a_mebibyte_end_soon_with_a_bounded_message() {
    for piece in [
        "a: b\n",
        "- ",
        "? ",
        "[a,",
        "a,",
        "{a: ",
        "&a ",
        "'",
        "\"\\",
        "|\n",
        "!a ",
        "%",
        "x",
        "a: &a b\n",
        "k\u{1b}",
        "a:\n ",
    ] {
        let text = piece.repeat((1 << 20) / piece.len());
        let message = parse(&text).expect_err("no configuration").to_string();
        assert!(message.len() < 200_000, "{piece:?}: {}", message.len());
        assert!(!message.contains('\u{1b}'));
    }
}

proptest! {
    #[test]
    fn no_text_is_a_panic(text in "\\PC*|[-a-z0-9:{}\\[\\]&*!?|>'\"%#, \n\t]{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_change_of_a_right_file_is_a_panic(at in 0_usize..400, cut in 0_usize..20, put in "[-a-z0-9:{}\\[\\]&*!?|>'\"%#, \n\t]{0,8}") {
        let mut text: Vec<char> = include_str!("../../../examples/cxone-exporter.yml").chars().collect();
        let at = at * 7 % text.len();
        let end = (at + cut).min(text.len());
        text.splice(at..end, put.chars());
        let _ = parse(&text.into_iter().collect::<String>());
    }

    #[test]
    fn no_duration_is_a_panic(text in "[0-9.]{0,30}[a-z]{0,3} ?[0-9]{0,20}[smhdwy]{0,2}") {
        let a_century = Duration::from_secs(86_400 * 365 * 100);
        if let Some(duration) = parse_duration(&text).ok().filter(|duration| *duration < a_century) {
            prop_assert_eq!(parse_duration(&show_duration(duration)).ok(), Some(duration));
        }
    }
}
