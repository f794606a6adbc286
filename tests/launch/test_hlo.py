import jax
import jax.numpy as jnp
import pytest

from launch.aot.hlo import HloError, Program

DEVICES = 8
# Loops of 5 and of 3 x 5 turns, a gather drawn twice, a reduce-scatter that is a fusion, an array that stays on the
# chip, a slice of a large array, and an attention kernel.
TEXT = """\
HloModule jit_step, entry_computation_layout={(f32[5,64,32]{2,1,0})->f32[64,32]{1,0}}

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%inner_condition (state: (s32[], f32[64,32])) -> pred[] {
  %state = (s32[], f32[64,32]) parameter(0)
  %bound = s32[]{:T(128)} constant(3)
  %turn = s32[] get-tuple-element(%state), index=0
  ROOT %less = pred[] compare(%turn, %bound), direction=LT
}

%inner_body (state: (s32[], f32[64,32])) -> (s32[], f32[64,32]) {
  %state = (s32[], f32[64,32]) parameter(0)
  %turn = s32[] get-tuple-element(%state), index=0
  %x = f32[64,32]{1,0:T(8,128)S(1)} get-tuple-element(%state), index=1
  %moved = f32[64,32]{1,0:T(8,128)S(1)} collective-permute(%x), channel_id=1, source_target_pairs={{0,1},{1,0}}
  ROOT %next = (s32[], f32[64,32]) tuple(%turn, %moved)
}

%all-reduce-scatter.1 (input: bf16[64,32]) -> bf16[16,32] {
  %input = bf16[64,32] parameter(0)
  %whole = bf16[64,32] all-reduce(%input), channel_id=2, replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add
  %zero = s32[] constant(0)
  ROOT %part = bf16[16,32] dynamic-slice(%whole, %zero, %zero), dynamic_slice_sizes={16,32}
}

%gather_one (part: bf16[32,8]) -> bf16[32,32] {
  %part = bf16[32,8] parameter(0)
  ROOT %all-gather.1 = bf16[32,32] all-gather(%part), channel_id=3, replica_groups=mesh['a'=2,'b'=4] {'b'}, \
dimensions={1}, frontend_attributes={chain_id="7"}
}

%gather_two (part: bf16[32,8]) -> bf16[32,32] {
  %part = bf16[32,8] parameter(0)
  ROOT %all-gather.2 = bf16[32,32] all-gather(%part), channel_id=3, replica_groups=mesh['a'=2,'b'=4] {'b'}, \
dimensions={1}, frontend_attributes={chain_id="7"}
}

%layer (stack: f32[5,64,32], turn: s32[]) -> f32[64,32] {
  %stack = f32[5,64,32] parameter(0)
  %turn = s32[] parameter(1)
  %zero = s32[] constant(0)
  %slice = f32[1,64,32] dynamic-slice(%stack, %turn, %zero, %zero), dynamic_slice_sizes={1,64,32}
  ROOT %flat = f32[64,32] bitcast(%slice)
}

%outer_condition (state: (s32[], f32[5,64,32], f32[64,32])) -> pred[] {
  %state = (s32[], f32[5,64,32], f32[64,32]) parameter(0)
  %bound = s32[] constant(5)
  %turn = s32[] get-tuple-element(%state), index=0
  ROOT %less = pred[] compare(%turn, %bound), direction=LT
}

%outer_body (state: (s32[], f32[5,64,32], f32[64,32])) -> (s32[], f32[5,64,32], f32[64,32]) {
  %state = (s32[], f32[5,64,32], f32[64,32]) parameter(0)
  %turn = s32[] get-tuple-element(%state), index=0
  %stack = f32[5,64,32] get-tuple-element(%state), index=1
  %x = f32[64,32] get-tuple-element(%state), index=2
  %w = f32[64,32] fusion(%stack, %turn), kind=kLoop, calls=%layer
  %y = f32[64,64] dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={1}
  %init = (s32[], f32[64,32]) tuple(%turn, %x)
  %loop = (s32[], f32[64,32]) while(%init), condition=%inner_condition, body=%inner_body
  ROOT %next = (s32[], f32[5,64,32], f32[64,32]) tuple(%turn, %stack, %x)
}

ENTRY %main (stack: f32[5,64,32], x: f32[64,32], part: bf16[32,8], big: bf16[64,32]) -> f32[64,32] {
  %stack = f32[5,64,32] parameter(0)
  %x = f32[64,32] parameter(1)
  %part = bf16[32,8] parameter(2)
  %big = bf16[64,32] parameter(3)
  %zero = s32[] constant(0)
  %one = bf16[32,32] fusion(%part), kind=kCustom, calls=%gather_one
  %two = bf16[32,32] fusion(%part), kind=kCustom, calls=%gather_two
  %scattered = bf16[16,32] fusion(%big), kind=kCustom, calls=%all-reduce-scatter.1
  %mean = f32[64,32] all-reduce(%x), channel_id=4, replica_groups=[1,8]<=[8], to_apply=%add
  %q = bf16[2,4,128,16] constant({...})
  %splash_mha_fwd_residuals.1 = (bf16[2,4,128,16], f32[2,4,128,128]) custom-call(%q, %q, %q), \
custom_call_target="tpu_custom_call"
  %init = (s32[], f32[5,64,32], f32[64,32]) tuple(%zero, %stack, %mean)
  %loop = (s32[], f32[5,64,32], f32[64,32]) while(%init), condition=%outer_condition, body=%outer_body
  ROOT %out = f32[64,32] get-tuple-element(%loop), index=2
}
"""


@pytest.fixture(scope="module")
def program() -> Program:
    return Program(TEXT, DEVICES)


def test_loops_count_as_often_as_they_turn(program: Program) -> None:
    product, attention = 2 * 64 * 64 * 32, 2 * 2 * (2 * 4 * 128 * 16) * 128
    assert program.flops == 5 * product + attention


def test_collectives_count_what_a_device_sends(program: Program) -> None:
    found = {(c.kind, c.group, c.times): c.bytes for c in program.collectives}
    assert found == {
        ("all-gather", 4, 1): 3 * 32 * 8 * 2,
        ("reduce-scatter", 4, 1): 3 / 4 * 64 * 32 * 2,
        ("all-reduce", 8, 1): 2 * 7 / 8 * 64 * 32 * 4,
        ("collective-permute", DEVICES, 15): 15 * 64 * 32 * 4,
    }


def test_memory_traffic_counts_slices_and_not_what_stays_on_the_chip(program: Program) -> None:
    layer, square, row = 64 * 32 * 4, 64 * 64 * 4, 4
    body = (layer + row + layer) + (2 * layer + square)  # the slice, and the product; the permutation is on the chip
    gathers = 2 * (32 * 8 * 2 + 32 * 32 * 2)
    scatter, mean = 64 * 32 * 2 + 16 * 32 * 2, 2 * layer
    kernel = 4 * (2 * 4 * 128 * 16 * 2) + 2 * 4 * 128 * 128 * 4
    assert program.hbm_bytes == 5 * body + gathers + scatter + mean + kernel


def test_a_loop_of_unknown_length_is_refused() -> None:
    with pytest.raises(HloError, match="loop has no constant number of turns"):
        _ = Program(TEXT.replace("%bound = s32[] constant(5)", "%bound = s32[] parameter(1)"), DEVICES).flops
    with pytest.raises(HloError, match="no ENTRY"):
        Program("HloModule empty", DEVICES)


def test_a_real_program_of_this_machine() -> None:
    def run(weights, x):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0]

    weights, x = jnp.zeros((7, 24, 24)), jnp.zeros((10, 24))
    compiled = jax.jit(jax.grad(lambda *args: jnp.sum(run(*args)))).lower(weights, x).compile()
    # Forward, and two products of the same size backward; XLA may leave out the last one, of the input's gradient.
    product = 7 * 2 * 10 * 24 * 24
    assert 2 * product < Program(compiled.as_text(), 1).flops <= 3 * product


@pytest.mark.parametrize(("stride", "padding"), [(1, "SAME"), (2, "VALID"), (2, [(3, 0), (1, 2)])])
def test_convolutions_do_not_count_padding(stride: int, padding: object) -> None:
    x, kernel = jnp.ones((2, 7, 6, 3)), jnp.ones((3, 3, 3, 5))

    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    text = jax.jit(convolve).lower(x, kernel).as_text(dialect="hlo")
    # Of ones, every output is the number of multiply-adds that made it.
    assert Program(text, 1).flops == 2 * convolve(x, kernel).sum()
