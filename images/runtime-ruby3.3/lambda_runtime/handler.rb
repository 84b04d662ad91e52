# frozen_string_literal: true

require 'json'
require 'stringio'

module LambdaRuntime
  # What a function names as its handler: `file.method`, or `file.Class.method` for a method of a class or module.
  class Handler
    JSON_TYPE = 'application/json'
    BYTES_TYPE = 'application/unknown'

    # Loads the file. Raises ArgumentError for what is no name of a handler, and whatever the file raises.
    def self.load(name)
      file, *path = name.split('.')
      unless file && [1, 2].include?(path.length)
        raise ArgumentError, "Invalid handler #{name}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD " \
                             'where FILENAME corresponds with an existing Ruby source file FILENAME.rb, CLASS is an ' \
                             'optional module/class namespace and METHOD is a callable method. If using CLASS, ' \
                             'METHOD must be a class-level method.'
      end
      task = Dir.pwd
      $LOAD_PATH.unshift(task) unless $LOAD_PATH.include?(task)
      require file
      new(*path)
    end

    def initialize(*path)
      @method = path.pop
      @class = path.first
    end

    # The body and the content type of the answer to an event. Raises what the function raises.
    def call(event, context)
      receiver = @class ? Object.const_get(@class) : TOPLEVEL_BINDING.receiver
      result = receiver.__send__(@method, event: event, context: context)
      case result
      when StringIO, IO then [result.read, BYTES_TYPE]
      else [result.to_json, JSON_TYPE]
      end
    end
  end
end
