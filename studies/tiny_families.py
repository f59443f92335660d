"""A tiny random model of each family of causal language models of transformers.

Configs call the same size by many names. `SIZES` has a small value for each name, `CHANGES` what a
family needs beside them. All windows and budgets are `WINDOW` tokens, which is shorter than the
sequences that are tried, and longer than those of `check_model`, as for real models.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from minillm.models.language_model import LanguageModel

TOKENS, ROWS = 61, 64  # tokens of the tokenizer, and output rows of the models
BOS, PAD, ENDS = 1, 3, (2, 5, 6)
LENGTH, WINDOW = 128, 8
STD = 0.3  # large, so that every token changes the predictions of the tokens after it
MOST_PARAMETERS = 10_000_000

FULL, SLIDING, LINEAR = "full_attention", "sliding_attention", "linear_attention"

SIZES = {
    "vocab_size": ROWS, "bos_token_id": BOS, "eos_token_id": ENDS[0], "pad_token_id": PAD,
    "type_vocab_size": 2,
    # width, layers and positions
    "hidden_size": 32, "n_embd": 32, "d_model": 32, "emb_dim": 32, "intermediate_size": 48,
    "ffn_dim": 48, "decoder_ffn_dim": 48, "encoder_ffn_dim": 48, "d_inner": 48, "dff": 48,
    "num_hidden_layers": 4, "n_layer": 4, "n_layers": 4, "num_layers": 4, "decoder_layers": 4,
    "encoder_layers": 4, "max_position_embeddings": LENGTH, "n_positions": LENGTH, "n_ctx": LENGTH,
    "max_seq_len": LENGTH,
    # attention
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "d_head": 8, "rotary_dim": 8, "kv_channels": 8, "sliding_window": WINDOW,
    "window_size": WINDOW, "keep_window_size": WINDOW, "attention_chunk_size": WINDOW,
    "is_decoder": True,
    # latent attention, and attention to selected tokens
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 8, "qk_head_dim": 16, "index_head_dim": 8, "index_n_heads": 2,
    "index_topk": WINDOW,
    # experts
    "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16,
    "shared_intermediate_size": 16, "intermediate_size_mlp": 48, "num_experts_per_tok": 2,
    "num_experts_per_token": 2, "num_experts": 4, "n_routed_experts": 4, "num_local_experts": 4,
    "n_shared_experts": 1, "n_group": 1, "num_expert_group": 1, "topk_group": 1, "moe_topk": 2,
    # recurrent layers
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8, "linear_head_dim": 8, "linear_num_heads": 4, "mamba_n_heads": 8,
    "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": WINDOW, "mamba_num_heads": 8,
    "mamba_head_dim": 8, "ssm_state_size": 8, "state_size": 8, "n_groups": 2, "chunk_size": WINDOW,
}  # fmt: skip

LATENT = {"num_key_value_heads": 4}
SHARED_KEYS = {"vocab_size_per_layer_input": ROWS, "hidden_size_per_layer_input": 8,
               "num_kv_shared_layers": 2}  # fmt: skip
INKLING = {"swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8,
           "sliding_window_size": WINDOW, "d_rel": 4, "rel_extent": WINDOW,
           "layer_types": ["hybrid_sliding", "hybrid"] * 2,
           "unpadded_vocab_size": ROWS}  # fmt: skip
ZAMBA = {"layers_block_type": [LINEAR, "hybrid"] * 2, "num_key_value_heads": 4,
         "attention_hidden_size": 64, "attention_head_dim": 16}  # fmt: skip
ROPE = {"rope_type": "default", "rope_theta": 1e4}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 16.0, "beta_fast": 32.0,
        "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1,
        "original_max_position_embeddings": WINDOW}  # fmt: skip
LONGROPE = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4}  # fmt: skip

# By type of config, also of a part of another config.
CHANGES: dict[str, dict[str, Any]] = {
    "axk1": LATENT,
    "axk2": LATENT | {"n_group": None, "topk_group": None},
    "bailing_hybrid": LATENT,
    "bamba": {"attn_layer_indices": [1, 3]},
    "blt": {"encoder_hash_byte_group_vocab": ROWS},
    "blt_local_decoder": {"hidden_size_global": 32},
    "cohere": {"logit_scale": 0.5},
    "cohere2": {"logit_scale": 0.5},
    "cohere2_moe": {"logit_scale": 0.5},
    "cohere_compass_text": {"rope_parameters": {FULL: ROPE, SLIDING: ROPE}},
    "cpmant": {"dim_head": 8, "dim_ff": 48, "position_bias_num_buckets": 8,
               "position_bias_max_distance": 16, "prompt_length": 4, "prompt_types": 4,
               "segment_types": 4},
    "dbrx": {"attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
             "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 48, "moe_top_k": 2}},
    "deepseek_v2": LATENT,
    "deepseek_v3": LATENT,
    "deepseek_v32": LATENT,
    "deepseek_v4": {"num_key_value_heads": 1, "head_dim": 16, "o_groups": 2, "o_lora_rank": 8,
                    "compress_rates": {"compressed_sparse_attention": 2,
                                       "heavily_compressed_attention": 4}},
    "dots3_note_text": LATENT | {"head_dim": 16, "per_layer_config": {},
                                 "layer_types": ["indexed_attention", SLIDING] * 2},
    "dots3_note_vision_encoder": {"mlp_layer_types": ["dense"] * 4, "per_layer_config": {},
                                  "adapter_in_dim": 32, "adapter_out_dim": 32},
    "dots3_note_audio_encoder": {"adapter_input_size": 32, "adapter_out_dim": 32},
    "ernie4_5_moe": {"moe_k": 2, "moe_num_experts": 4, "moe_num_shared_experts": 1},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": SHARED_KEYS | {"intermediate_size": [48] * 4, "laurel_rank": 8,
                                   "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0]},
    "gemma4_text": SHARED_KEYS | {"global_head_dim": 8},
    "gemma4_unified_text": {"global_head_dim": 8},
    "glm4_moe_lite": LATENT,
    "glm_moe_dsa": LATENT,
    "got_ocr2_vision": {"output_channels": 32, "mlp_dim": 32},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "granite": {"logits_scaling": 3.0},
    "granite_swa": {"logits_scaling": 3.0},
    "granitemoe": {"logits_scaling": 3.0},
    "granitemoe_swa": {"logits_scaling": 3.0},
    "granitemoehybrid": {"layer_types": [LINEAR, FULL] * 2, "logits_scaling": 3.0},
    "granitemoeshared": {"logits_scaling": 3.0},
    "hy_v4": LATENT,
    "hyperclovax": {"logits_scaling": 3.0},
    "inkling2_text": INKLING,
    "inkling_text": INKLING | {"mlp_layer_types": ["dense", *["sparse"] * 3]},
    "kimi_linear": LATENT,
    "lfm2": {"layer_types": ["conv", FULL] * 2},
    "lfm2_moe": {"layer_types": ["conv", FULL] * 2},
    "longcat_flash": LATENT | {"num_layers": 2, "ffn_hidden_size": 48, "zero_expert_num": 2,
                               "expert_ffn_hidden_size": 16},
    "mamba2": {"num_heads": 8},
    "minicpm3": LATENT | {"dim_model_base": 16},
    "minimax_m3_vl_text": {"dense_intermediate_size": 48, "index_block_size": 4,
                           "index_topk_blocks": 1, "layer_types": [FULL, "minimax_m3_sparse"] * 2},
    "ministral3": {"rope_parameters": YARN},
    "mllama_text_model": {"cross_attention_layers": [1]},
    "qwen4_exp_text": {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8,
                       "indexer_budget": WINDOW, "indexer_compress_ratio": 4, "hc_lowrank": 8},
    "reformer": {"axial_pos_shape": (8, 16), "axial_pos_embds_dim": (16, 16), "num_buckets": 4,
                 "attn_layers": ["local", "lsh"] * 2, "feed_forward_size": 48,
                 "attention_head_size": 8},
    "roc_bert": {"pronunciation_embed_dim": 8, "pronunciation_vocab_size": ROWS,
                 "shape_embed_dim": 8, "shape_vocab_size": ROWS},
    "xlm": {"causal": True},
    "xmod": {"default_language": "en_XX"},
    "youtu": LATENT,
    "zamba": ZAMBA | {"mamba_dt_rank": 4},
    "zamba2": ZAMBA | {"mamba_headdim": 8, "n_mamba_heads": 8},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 8,
             "layer_types": ["hybrid", "hybrid_sliding"] * 2},
}  # fmt: skip

# Models of a family that are read in another way: the type, and what is changed.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert, is_decoder=false": ("bert", {"is_decoder": False}),
    "falcon, alibi=true": ("falcon", {"alibi": True}),
    "falcon, new_decoder_architecture=true": (
        "falcon",
        {"new_decoder_architecture": True, "num_kv_heads": 2},
    ),
    "granitemoehybrid, attention layers only": ("granitemoehybrid", {"layer_types": [FULL] * 4}),
    "llama, rope_type=dynamic": (
        "llama",
        {"rope_parameters": ROPE | {"rope_type": "dynamic", "factor": 2.0}},
    ),
    "llama, longer than its positions, rope_type=dynamic": (
        "llama",
        {"max_position_embeddings": 16}
        | {"rope_parameters": ROPE | {"rope_type": "dynamic", "factor": 2.0}},
    ),
    "llama4_text, longer than floor_scale": ("llama4_text", {"floor_scale": 16}),
    "opt, do_layer_norm_before=false": (
        "opt",
        {"do_layer_norm_before": False, "word_embed_proj_dim": 16},
    ),
    "phi3, rope_type=longrope": (
        "phi3",
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": 64},
    ),
    "phi3, longer than its original positions, rope_type=longrope": (
        "phi3",
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": 16},
    ),
}


def families() -> list[str]:
    """All families that `AutoModelForCausalLM` builds, and the variants."""
    return sorted([*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *VARIANTS])


def build(family: str, seed: int) -> LanguageModel:
    """A tiny model of the family in float32, ready for forward passes.

    Raises:
        Exception: of any type, if transformers cannot build the model; MemoryError if the model is
            not tiny.
    """
    model_type, changes = VARIANTS.get(family, (family, {}))
    config_class = CONFIG_MAPPING[model_type]
    config = config_class(**_merged(tiny_sizes(config_class), changes))
    with torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(config).num_parameters()
    if parameters > MOST_PARAMETERS:
        raise MemoryError(f"{parameters} parameters")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        for parameter in module.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=STD)
    module.name_or_path = family
    return LanguageModel(module, SimpleNamespace(pad_token_id=PAD), TOKENS, ENDS)


def tiny_sizes(config_class: type[PretrainedConfig]) -> dict[str, Any]:
    """The arguments of a config class, and of the configs inside, for a tiny model."""
    values = vars(config_class())
    sizes: dict[str, Any] = {name: size for name, size in SIZES.items() if name in values}
    for name, value in values.items():
        if isinstance(value, PretrainedConfig):
            sizes[name] = tiny_sizes(type(value)) | {"model_type": value.model_type}
        elif "drop" in name and isinstance(value, float):
            sizes[name] = 0.0
    if "sliding_window" in sizes and set(values.get("layer_types") or [None]) <= {FULL, SLIDING}:
        sizes["layer_types"] = [SLIDING, FULL] * 2
        if "use_sliding_window" in values:
            sizes["use_sliding_window"] = True
    return _merged(sizes, CHANGES.get(config_class.model_type, {}))


def _merged(sizes: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`sizes` with `changes`; the changes of a part are merged with the sizes of the part."""
    parts = {
        name: sizes[name] | change
        for name, change in changes.items()
        if name.endswith("_config") and name in sizes
    }
    return sizes | changes | parts
