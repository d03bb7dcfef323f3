//! Basic authentication (RFC 7617), for users whose passwords are known by their hashes.
//!
//! A comparison costs tens of milliseconds of work. So those that succeeded are remembered, there
//! is one at a time, and after each that fails there is a pause. A client waits for its own pauses:
//! an attacker with one address delays others by one comparison.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use ring::hmac;
use ring::rand::SystemRandom;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// How many passwords are remembered. (There may be several for a hash, because only 72 bytes
/// count.)
const REMEMBERED: usize = 1024;

/// After a wrong password, nothing is compared for so many times the duration of the comparison.
const PAUSE: u32 = 4;

/// Compares passwords.
pub(super) struct Passwords {
    /// Those that were right, by their keyed hashes.
    right: Mutex<HashSet<[u8; 32]>>,
    key: hmac::Key,
    /// One comparison at a time.
    turn: Semaphore,
    /// One comparison at a time for each client.
    clients: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
}

impl Passwords {
    /// Creates it with a key of its own.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel has no random numbers.
    pub(super) fn new() -> io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| io::Error::other("no random numbers"))?;
        let (right, clients) = (Mutex::default(), Mutex::default());
        Ok(Self { right, key, turn: Semaphore::new(1), clients })
    }

    /// Returns true if a request has the name and the password of one of `users`.
    pub(super) async fn are_right(
        &self,
        users: &BTreeMap<String, String>,
        headers: &HeaderMap,
        client: IpAddr,
    ) -> bool {
        let Some((user, password)) = credentials(headers) else { return false };
        let is_known = users.contains_key(&user);
        // If the user is not known, something is compared nevertheless: time must not tell.
        let Some(hash) = users.get(&user).or_else(|| users.values().next()) else { return false };
        let fingerprint = self.fingerprint([user.as_bytes(), &password, hash.as_bytes()]);
        if lock(&self.right).contains(&fingerprint) {
            return true;
        }
        let own_turn = self.turn_of(client);
        let is_right = {
            let _own = own_turn.acquire().await;
            // It may have been compared meanwhile.
            if lock(&self.right).contains(&fingerprint) {
                return true;
            }
            self.compare(password, hash.clone(), is_known).await
        };
        if is_right {
            let mut right = lock(&self.right);
            if right.len() >= REMEMBERED {
                right.clear();
            }
            right.insert(fingerprint);
        }
        is_right
    }

    async fn compare(&self, password: Vec<u8>, hash: String, is_known: bool) -> bool {
        let _turn = self.turn.acquire().await;
        let start = Instant::now();
        let compared = spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false));
        let is_right = compared.await.unwrap_or(false) && is_known;
        if !is_right {
            sleep(start.elapsed() * PAUSE).await;
        }
        is_right
    }

    fn turn_of(&self, client: IpAddr) -> Arc<Semaphore> {
        let mut clients = lock(&self.clients);
        clients.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(clients.entry(client).or_insert_with(|| Arc::new(Semaphore::new(1))))
    }

    fn fingerprint(&self, parts: [&[u8]; 3]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&part.len().to_le_bytes());
            context.update(part);
        }
        context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the name and the password that a client has sent.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, coded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64_STANDARD.decode(coded.trim()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some((user, decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    #[test]
    fn credentials_are_those_of_rfc_7617() {
        let found = |values: &[&str]| credentials(&headers(values));
        let aladdin = Some(("Aladdin".to_owned(), b"open sesame".to_vec()));
        assert_eq!(found(&["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]), aladdin);
        assert_eq!(found(&["bAsIc  QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]), aladdin);
        assert_eq!(found(&["Basic YTo6"]), Some(("a".to_owned(), b":".to_vec())));
        for values in [
            &[][..],
            &["Basic"],
            &["Basic YQ=="],
            &["Basic /"],
            &["Basic /zo="],
            &["Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
            &["Basic YTo6", "Basic YTo6"],
        ] {
            assert_eq!(found(values), None, "{values:?}");
        }
    }
}
