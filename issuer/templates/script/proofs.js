// Proofs of a sign-in. The challenge is asked for when the customer wants to prove something, not before.

const proofs = (() => {
  const orderDigest = async (answer, place) => {
    if (!answer.with_order || !place.dataset.order) return new Uint8Array(0);
    return bytes.sha256(bytes.fromBase64url(place.dataset.order));
  };
  const chosen = async (form) => {
    const kept = await device.chosen(form);
    if (kept) return kept;
    throw new Problem(say("此瀏覽器尚未綁定。", "This browser is not bound."));
  };

  const possession = async (form, answer, order) => {
    const { id, pair } = await chosen(form);
    const challenge = bytes.fromBase64url(answer.challenge);
    form.elements.device_id.value = id;
    form.elements.signature.value = await device.sign(pair, bytes.signed("PossessionProof", challenge, order));
  };
  const inherence = async (form, answer, order) => {
    const { id, pair } = await chosen(form);
    const features = await device.measure(answer.feature_count);
    const message = bytes.signed(
      "InherenceProof", bytes.fromBase64url(answer.challenge), await bytes.sha256(features), order,
    );
    form.elements.device_id.value = id;
    form.elements.features.value = bytes.toBase64url(features);
    form.elements.signature.value = await device.sign(pair, message);
  };
  const passkey = async (form, answer) => {
    let credential;
    try {
      credential = await navigator.credentials.get({
        publicKey: {
          challenge: bytes.fromBase64url(answer.challenge),
          rpId: answer.rp_id,
          userVerification: "required",
          allowCredentials: [],
        },
      });
    } catch {
      throw new Problem(say("沒有使用通行密鑰。請再試一次，或選擇其他方式。", "No passkey was used. Try again, or choose another way."));
    }
    form.elements.credential_id.value = bytes.toBase64url(credential.rawId);
    form.elements.authenticator_data.value = bytes.toBase64url(credential.response.authenticatorData);
    form.elements.client_data.value = bytes.toBase64url(credential.response.clientDataJSON);
    form.elements.signature.value = bytes.toBase64url(credential.response.signature);
  };

  const start = async (place) => {
    const ways = { possession, inherence, passkey };
    const has = (await device.bound()).length > 0;
    const usable = { possession: has, inherence: has, passkey: "PublicKeyCredential" in window };
    for (const form of place.querySelectorAll("form[data-proof]")) {
      const kind = form.dataset.proof;
      if (!(kind in ways)) continue;
      form.hidden = !usable[kind];
      await device.offer(form);
      take(form, async () => {
        const answer = await post(`${place.dataset.at}/challenge`, { for: place.dataset.for });
        form.elements.challenge_id.value = answer.challenge_id;
        await ways[kind](form, answer, await orderDigest(answer, place));
        form.submit();
        await gone();
      });
    }
    const needsDevice = place.querySelector("[data-proof=possession], [data-proof=inherence]");
    document.querySelector(".no-device").hidden = has || !needsDevice;
    // At the sign-in it stays: a key may be one that the bank has removed, or another person's.
    document.querySelector(".actions .activate").hidden = has && place.dataset.for === "step-up";
    // What takes one click comes first.
    const first = place.querySelector("form[data-proof=possession]:not([hidden])");
    if (first) place.prepend(first);
  };
  return { start };
})();
