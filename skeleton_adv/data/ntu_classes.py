"""Names of the actions in NTU RGB+D, from A001."""

NTU60_CLASSES = (
    *("drink_water", "eat_meal", "brush_teeth", "brush_hair", "drop", "pick_up", "throw", "sit_down", "stand_up"),
    *("clapping", "reading", "writing", "tear_up_paper", "put_on_jacket", "take_off_jacket", "put_on_a_shoe"),
    *("take_off_a_shoe", "put_on_glasses", "take_off_glasses", "put_on_a_hat", "take_off_a_hat", "cheer_up"),
    *("hand_waving", "kicking_something", "reach_into_pocket", "hopping", "jump_up", "phone_call"),
    *("play_with_phone", "type_on_a_keyboard", "point_to_something", "taking_a_selfie", "check_time"),
    *("rub_two_hands", "nod_head", "shake_head", "wipe_face", "salute", "put_palms_together"),
    *("cross_hands_in_front", "sneeze_or_cough", "staggering", "falling_down", "headache", "chest_pain"),
    *("back_pain", "neck_pain", "nausea", "fan_self", "punch_other_person", "kick_other_person"),
    *("push_other_person", "pat_on_back", "point_at_other_person", "hug_other_person", "give_object"),
    *("touch_pocket", "shaking_hands", "walking_towards", "walking_apart"),
)

NTU120_CLASSES = (
    *NTU60_CLASSES,
    *("put_on_headphone", "take_off_headphone", "shoot_at_basket", "bounce_ball", "tennis_bat_swing"),
    *("juggle_table_tennis_ball", "hush", "flick_hair", "thumb_up", "thumb_down", "make_ok_sign"),
    *("make_victory_sign", "staple_book", "counting_money", "cutting_nails", "cutting_paper", "snap_fingers"),
    *("open_bottle", "sniff", "squat_down", "toss_a_coin", "fold_paper", "ball_up_paper", "play_magic_cube"),
    *("apply_cream_on_face", "apply_cream_on_hand", "put_on_bag", "take_off_bag", "put_object_into_bag"),
    *("take_object_out_of_bag", "open_a_box", "move_heavy_objects", "shake_fist", "throw_up_cap_or_hat"),
    *("capitulate", "cross_arms", "arm_circles", "arm_swings", "run_on_the_spot", "butt_kicks", "cross_toe_touch"),
    *("side_kick", "yawn", "stretch_oneself", "blow_nose", "hit_with_object", "wield_knife", "knock_over"),
    *("grab_stuff", "shoot_with_gun", "step_on_foot", "high_five", "cheers_and_drink", "carry_object"),
    *("take_a_photo", "follow", "whisper", "exchange_things", "support_somebody", "rock_paper_scissors"),
)
