// The words of the concept picture, by language.

const number = (value) => value.toLocaleString('en-US');

export const words = {
  en: {
    title: 'A channel of a Mamba block appears in ten places; pruning removes all ten',
    about: (channels, kept) =>
      'Channel k of a Mamba block owns two rows of in_proj, a row of conv1d and its bias, a column of x_proj, a row of dt_proj ' +
      'and its bias, a row of A_log, an entry of D and a column of out_proj. After the cut ' +
      `${kept} of ${channels} channels are left, and every matrix has the smaller size.`,
    followed: 'channel k, which is removed',
    goes: 'other channels that are removed',
    stays: 'channels that stay',
    keys: [285, 575],
    scan: 'scan',
    bias: '+ bias',
    gate: 'gate',
    row: 'row k',
    gateRow: (channels) => `row ${channels} + k`,
    column: 'column k',
    before: 'Before',
    schematic: (shown, channels) =>
      `A block of mamba_small; the ${shown} channels that are drawn stand for ${channels}.`,
    after: 'After',
    remains: (kept, channels, after, before) =>
      `${kept} of ${channels} channels are left, and ${number(after)} of ${number(before)} weights: smaller matrices, no masks, no zeros.`,
  },
  'zh-CN': {
    title: 'Mamba 块的一个通道出现在十处，剪枝时一并移除',
    about: (channels, kept) =>
      'Mamba 块的通道 k 占有 in_proj 的两行、conv1d 的一行及其偏置、x_proj 的一列、dt_proj 的一行及其偏置、A_log 的一行、D 的一个元素和 out_proj 的一列。' +
      `剪枝后 ${channels} 个通道剩下 ${kept} 个，每个矩阵都变小了。`,
    followed: '通道 k（被移除）',
    goes: '其他被移除的通道',
    stays: '保留的通道',
    keys: [210, 400],
    scan: '扫描',
    bias: '+ 偏置',
    gate: '门控',
    row: '第 k 行',
    gateRow: (channels) => `第 ${channels} + k 行`,
    column: '第 k 列',
    before: '剪枝前',
    schematic: (shown, channels) =>
      `mamba_small 的一个块，图中以 ${shown} 个通道代表 ${channels} 个。`,
    after: '剪枝后',
    remains: (kept, channels, after, before) =>
      `通道 ${channels} → ${kept} 个，权重 ${number(before)} → ${number(after)} 个。矩阵真正变小，没有掩码，也没有留下的零。`,
  },
};
