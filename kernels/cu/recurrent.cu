// One step of LSTM, GRU and the plain tanh network, after the product with the previous state.
// CPU twins: crates/seqweave-tensor/src/ops/recurrent/{lstm,gru,rnn}.rs, bit for bit.
//
// States and gradients of states: [B,H]. `lens` holds the rows' lengths or is null; a row that has no step `t` keeps its
// state. Launch of all: grid ceil(B·H/256), block 256: a thread a unit of a row. The kernels that walk a whole
// sequence are in persistent.cu.
#include "prelude.cuh"

/// A unit of a row: which, and whether the row has step `t`.
struct Unit {
    bool inside, live;
    int row, unit, at;
    DEVICE Unit(const u32* lens, int t, int b, int h) {
        at = int(grid_thread());
        inside = at < b * h;
        row = at / h, unit = at % h;
        live = inside && (!lens || u32(t) < lens[row]);
    }
    /// Element `block` of a row of blocks of h.
    DEVICE size_t of(int blocks, int block, int h) const { return (size_t(row) * blocks + block) * h + unit; }
};

/// y[t,b] = states[t,b] where row b has step t, else 0; both [T,B,H].
///
/// Grid min(ceil(T·B·H/1024), 2048), block 256.
KERNEL(recurrent_outputs, 256, 4)(const float* states, const u32* lens, float* y, int t, int b, int h) {
    size_t n = size_t(t) * b * h;
    for (size_t i = grid_thread(); i < n; i += grid_threads()) {
        u32 row = u32(i / u32(h));
        y[i] = row / u32(b) < lens[row % u32(b)] ? states[i] : 0.0f;
    }
}

/// [i f g o] = xp + p through σ, σ, tanh, σ; c = f⊙c_prev + i⊙g; h = o⊙tanh(c). xp: [B,4H].
///
/// gates: [B,4H] comes in as p = h_prev·w_hhᵀ and goes out activated.
KERNEL(lstm_cell, 256, 4)(const float* xp, float* gates, const float* h_prev, const float* c_prev, float* h_next, float* c_next,
                          const u32* lens, int t, int b, int h) {
    Unit u(lens, t, b, h);
    if (!u.inside) return;
    if (!u.live) {
        h_next[u.at] = h_prev[u.at], c_next[u.at] = c_prev[u.at];
        return;
    }
    size_t at_i = u.of(4, 0, h), at_f = u.of(4, 1, h), at_g = u.of(4, 2, h), at_o = u.of(4, 3, h);
    float i = exact::sigmoid(xp[at_i] + gates[at_i]);
    float f = exact::sigmoid(xp[at_f] + gates[at_f]);
    float g = exact::tanh(xp[at_g] + gates[at_g]);
    float o = exact::sigmoid(xp[at_o] + gates[at_o]);
    float c = f * c_prev[u.at] + i * g;
    gates[at_i] = i, gates[at_f] = f, gates[at_g] = g, gates[at_o] = o;
    c_next[u.at] = c;
    h_next[u.at] = o * exact::tanh(c);
}

/// The gradient through `lstm_cell`. dh and dc come in with respect to h and c, without dy ([B,H] or null); dc goes out with
/// respect to c_prev, dh goes out 0: all of h_prev's share is dgates·w_hh, to be added. Padded rows: dgates = 0.
KERNEL(lstm_cell_backward, 256, 4)(const float* gates, const float* c_prev, const float* c, const float* dy, float* dgates, float* dh,
                                   float* dc, const u32* lens, int t, int b, int h) {
    Unit u(lens, t, b, h);
    if (!u.inside) return;
    size_t at_i = u.of(4, 0, h), at_f = u.of(4, 1, h), at_g = u.of(4, 2, h), at_o = u.of(4, 3, h);
    if (!u.live) {
        dgates[at_i] = dgates[at_f] = dgates[at_g] = dgates[at_o] = 0.0f;
        return;
    }
    float i = gates[at_i], f = gates[at_f], g = gates[at_g], o = gates[at_o];
    float dh_k = dy ? dh[u.at] + dy[u.at] : dh[u.at];
    float tanh_c = exact::tanh(c[u.at]);
    float dc_k = dc[u.at] + dh_k * o * (1.0f - tanh_c * tanh_c);
    dgates[at_i] = dc_k * g * (i * (1.0f - i));
    dgates[at_f] = dc_k * c_prev[u.at] * (f * (1.0f - f));
    dgates[at_g] = dc_k * i * (1.0f - g * g);
    dgates[at_o] = dh_k * tanh_c * (o * (1.0f - o));
    dc[u.at] = dc_k * f;
    dh[u.at] = 0.0f;
}

/// r = σ(xp_r + p_r), z = σ(xp_z + p_z), n = tanh(xp_n + r⊙p_n) with p = h_prev·w_hhᵀ + b_hh; h = (1-z)⊙n + z⊙h_prev.
///
/// xp: [B,3H], b_hh: [3H]. gates: [B,3H] comes in as h_prev·w_hhᵀ and goes out activated; p_n: [B,H] is saved.
KERNEL(gru_cell, 256, 4)(const float* xp, const float* b_hh, float* gates, float* p_n, const float* h_prev, float* h_next,
                         const u32* lens, int t, int b, int h) {
    Unit u(lens, t, b, h);
    if (!u.inside) return;
    if (!u.live) {
        h_next[u.at] = h_prev[u.at];
        return;
    }
    size_t at_r = u.of(3, 0, h), at_z = u.of(3, 1, h), at_n = u.of(3, 2, h);
    float r = exact::sigmoid(xp[at_r] + (gates[at_r] + b_hh[u.unit]));
    float z = exact::sigmoid(xp[at_z] + (gates[at_z] + b_hh[h + u.unit]));
    float p = gates[at_n] + b_hh[2 * h + u.unit];
    float n = exact::tanh(xp[at_n] + r * p);
    gates[at_r] = r, gates[at_z] = z, gates[at_n] = n;
    p_n[u.at] = p;
    h_next[u.at] = (1.0f - z) * n + z * h_prev[u.at];
}

/// The gradient through `gru_cell`. dh comes in with respect to h, without dy ([B,H] or null), and goes out as the part of
/// h_prev's that does not pass the product; the rest is dp·w_hh, to be added. dxp, dp: [B,3H]; padded rows: 0.
KERNEL(gru_cell_backward, 256, 4)(const float* gates, const float* p_n, const float* h_prev, const float* dy, float* dxp, float* dp,
                                  float* dh, const u32* lens, int t, int b, int h) {
    Unit u(lens, t, b, h);
    if (!u.inside) return;
    size_t at_r = u.of(3, 0, h), at_z = u.of(3, 1, h), at_n = u.of(3, 2, h);
    if (!u.live) {
        dxp[at_r] = dxp[at_z] = dxp[at_n] = dp[at_r] = dp[at_z] = dp[at_n] = 0.0f;
        return;
    }
    float r = gates[at_r], z = gates[at_z], n = gates[at_n];
    float dh_k = dy ? dh[u.at] + dy[u.at] : dh[u.at];
    float dn = dh_k * (1.0f - z) * (1.0f - n * n);
    dxp[at_n] = dn;
    dp[at_n] = dn * r;
    dxp[at_r] = dp[at_r] = dn * p_n[u.at] * (r * (1.0f - r));
    dxp[at_z] = dp[at_z] = dh_k * (h_prev[u.at] - n) * (z * (1.0f - z));
    dh[u.at] = dh_k * z;
}

/// h = tanh(xp + p), xp: [B,H]; h_next comes in as p = h_prev·w_hhᵀ.
KERNEL(rnn_cell, 256, 4)(const float* xp, const float* h_prev, float* h_next, const u32* lens, int t, int b, int h) {
    Unit u(lens, t, b, h);
    if (!u.inside) return;
    h_next[u.at] = u.live ? exact::tanh(xp[u.at] + h_next[u.at]) : h_prev[u.at];
}

/// The gradient through `rnn_cell`: dxp = dh·(1 - h²), with dy ([B,H] or null) added to dh first; dh goes out 0, as all of
/// h_prev's share is dxp·w_hh, to be added. Padded rows: dxp = 0.
KERNEL(rnn_cell_backward, 256, 4)(const float* states, const float* dy, float* dxp, float* dh, const u32* lens, int t, int b, int h) {
    Unit u(lens, t, b, h);
    if (!u.inside) return;
    if (!u.live) {
        dxp[u.at] = 0.0f;
        return;
    }
    float dh_k = dy ? dh[u.at] + dy[u.at] : dh[u.at];
    dxp[u.at] = dh_k * (1.0f - states[u.at] * states[u.at]);
    dh[u.at] = 0.0f;
}
