//! A shop and a cardholder's device: the end-to-end scenario, the sandbox and the benchmark.
//!
//! Nothing here is a stand-in: the shop speaks mutual TLS with its own certificate, the device opens
//! the real payment page and reads the real QR code, and every server runs as a process of its own.
//!
//! | module | what is there |
//! |---|---|
//! | [`cli`], [`role`] | the commands; one server in a process of its own |
//! | [`shop`], [`device`] | the two parties that this program plays |
//! | [`sample`], [`topology`], [`pki`] | who is in the network; where, with which files; their certificates |
//! | [`process`], [`network`], [`metrics`] | servers as processes; a whole network that runs; its platform's numbers |
//! | [`hostile`], [`operator`] | members that do not keep to the contracts; the network's operator |
//! | [`scenario`], [`report`] | the end-to-end run and what it found |
//! | [`sandbox`], [`mod@bench`] | a network that stays up; a network under load |
//! | [`card_network`] | the simulated card network as a process of its own, which fails on command |
//! | [`storefront`] | the demo shops' pages of a sandbox |
//! | [`canary`], [`secrets`] | a search for planted secrets, and for those that came up meanwhile |
//! | [`crash`], [`timing`] | servers killed at random moments; what the time of an answer gives away |
//! | [`overload`] | more load than the servers carry, and what they still get done |
//! | [`torture`] | everything at once on a tormented network, and an auditor afterwards |
//! | [`bench_relay`] | the platform's relay under load, beside other proxies |

pub mod bench;
pub mod bench_relay;
pub mod canary;
pub mod card_network;
pub mod cli;
pub mod console;
pub mod crash;
pub mod device;
pub mod hostile;
pub mod interrupt;
pub mod metrics;
pub mod network;
pub mod operator;
pub mod overload;
pub mod pki;
pub mod process;
pub mod report;
pub mod role;
pub mod sample;
pub mod sandbox;
pub mod scenario;
pub mod secrets;
pub mod shop;
pub mod storefront;
pub mod timing;
pub mod topology;
pub mod torture;
