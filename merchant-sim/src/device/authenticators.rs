//! What a cardholder proves with, in software: a device's key, features that it measures, and passkeys.
//!
//! They keep to the contracts by default, and can be told not to: a device signs whatever bytes it is
//! given, a passkey takes a [`Ceremony`] whose every part can be changed, and whoever knows the seed of
//! a [`Person`] measures the same features again. The key material is the simulator's own, made from a
//! seed or at random; [`SoftDevice::seed`] and [`SoftPasskey::private_key`] give it out, so that a search
//! for it can be made.

mod attestation;
mod device;
mod features;
mod passkey;

pub use device::{BoundDevice, SoftDevice, consent_to};
pub use features::{FEATURE_COUNT, Person};
pub use passkey::{Algorithm, Assertion, Ceremony, Registration, SoftPasskey};
