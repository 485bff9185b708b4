// Binding this browser, enrolling what the demonstration sensor measures, and registering a passkey.

const credentials = (() => {
  // The device signs the code as it is sent, or the digest of the session's token, which no script has.
  const bind = async (form, session) => {
    form.elements.name.value = await device.freeName(form.elements.name.value);
    take(form, async () => {
      const code = form.elements.code ? form.elements.code.value.trim() : "";
      const pair = await device.fresh();
      const authorization = code ? bytes.text(code) : bytes.fromBase64url(session);
      const name = form.elements.name.value;
      let answer;
      try {
        answer = await post(`${form.dataset.at}/bind`, {
          code,
          name,
          key: await device.publicKey(pair),
          signature: await device.sign(pair, bytes.signed("BindDevice", authorization)),
        });
      } catch (error) {
        // A key that the bank refuses may be another customer's by now, whose answer was lost.
        if (error.refused) await device.forget("waiting");
        throw error;
      }
      await device.keep(answer.device_id, pair, name);
      location.assign(answer.next);
      await gone();
    });
  };

  const enroll = (form, at, kept) =>
    take(form, async () => {
      const answer = await post(`${at}/challenge`, { for: "register" });
      const features = await device.measure(answer.feature_count);
      const message = bytes.signed(
        "EnrollFeatures", bytes.fromBase64url(answer.challenge), await bytes.sha256(features),
      );
      const done = await post(`${at}/features`, {
        challenge_id: answer.challenge_id,
        device_id: kept.id,
        features: bytes.toBase64url(features),
        signature: await device.sign(kept.pair, message),
      });
      location.assign(done.next);
      await gone();
    });

  const register = (form, at, bank) =>
    take(form, async () => {
      const name = form.elements.name.value;
      const answer = await post(`${at}/challenge`, { for: "register" });
      let credential;
      try {
        credential = await navigator.credentials.create({
          publicKey: {
            challenge: bytes.fromBase64url(answer.challenge),
            rp: { id: answer.rp_id, name: bank },
            user: { id: bytes.fromBase64url(answer.user_handle), name, displayName: name },
            pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
            authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
            attestation: "none",
          },
        });
      } catch {
        throw new Problem(say("沒有建立通行密鑰，請再試一次。", "No passkey was made. Please try again."));
      }
      const done = await post(`${at}/passkeys`, {
        challenge_id: answer.challenge_id,
        name,
        client_data: bytes.toBase64url(credential.response.clientDataJSON),
        attestation: bytes.toBase64url(credential.response.attestationObject),
      });
      location.assign(done.next);
      await gone();
    });

  const start = async (place) => {
    const { at, session, bank } = place.dataset;
    const kept = await device.bound();
    const listed = [...place.querySelectorAll("[data-device]")].map((item) => item.dataset.device);
    for (const { id, leaving } of kept) if (leaving && !listed.includes(id)) await device.forget(id);
    let here;
    for (const item of place.querySelectorAll("[data-device]")) {
      const own = kept.find((one) => one.id === item.dataset.device);
      if (!own) continue;
      here = own;
      item.querySelector(".this-browser").hidden = false;
      item.querySelector("form").addEventListener("submit", () => device.leave(own.id));
    }
    const binding = place.querySelector("form.bind");
    if (binding) {
      binding.hidden = here !== undefined;
      await bind(binding, session);
    }
    const enrolling = place.querySelector("form.enroll");
    if (enrolling) {
      enrolling.hidden = here === undefined;
      enroll(enrolling, at, here);
    }
    const registering = place.querySelector("form.register");
    if (registering) {
      registering.hidden = !("PublicKeyCredential" in window);
      register(registering, at, bank);
    }
  };
  return { bind, start };
})();
